/** dsrctl as a process. */
import { main } from "../../../src/cli/dsrctl.ts";

await main("dsrctl");
