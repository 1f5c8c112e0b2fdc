/** Every DADDR rule of a host: `l3dsr show --json`. */
import * as z from "zod/mini";
import { counters, datapath, drift, hook, list, placedRule, record, schema } from "./value.ts";

export const show = record({
	schema: schema("show"),
	rules: list(record({ datapath: datapath(), hook: z.optional(hook()), ...placedRule, ...counters })),
	findings: list(drift),
});
