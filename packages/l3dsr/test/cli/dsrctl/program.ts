/** dsrctl as a process of its own. */
import { main } from "../../../src/cli/dsrctl.ts";

await main("dsrctl");
