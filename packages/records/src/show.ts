/** Every DADDR rule of a host: `l3dsr show --json`. */
import { counters, datapath, drift, list, placedRule, record, schema } from "./value.ts";

export const show = record({
	schema: schema("show"),
	rules: list(record({ datapath: datapath(), ...placedRule, ...counters })),
	findings: list(drift),
});
