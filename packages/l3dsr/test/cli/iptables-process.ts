/** `node --conditions=@l3dsr/source test/cli/iptables-process.ts NAME ARGUMENTS`: iptables-daddr as a process. */
import { main } from "../../src/cli/iptables-daddr.ts";

const [name = "iptables-daddr"] = process.argv.splice(2, 1);
await main(name);
