/** `node --conditions=@l3dsr/source test/cli/l3dsr-process.ts ARGUMENTS`: l3dsr as a process. */
import { main } from "../../src/cli/l3dsr.ts";

await main("l3dsr");
