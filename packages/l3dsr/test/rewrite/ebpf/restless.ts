/**
 * Changes the rules of an interface and their hook in an endless loop, until it is killed: `restless.ts
 * INTERFACE`.
 */
import { EbpfDatapath } from "../../../src/rewrite/ebpf/kernel/ebpf.ts";
import { daddrRule } from "../../packets/rules.ts";
import { setRules } from "../set-rules.ts";

/** An observer must find one of these sets completely. */
export const RESTLESS = [
	["10.0.0.1", "10.0.0.2"],
	["10.0.1.1", "10.0.1.2", "10.0.1.3"],
] as const;

export function restlessRules(which: 0 | 1, on: string) {
	const header = { inInterface: { name: on, wildcard: false, negated: false } };
	return RESTLESS[which].map((daddr, i) => ({ rule: daddrRule(daddr, { dscp: i + 1, header }), ordinal: i }));
}

const [, script = "", name] = process.argv;
if (script.endsWith("restless.ts") && name !== undefined) {
	for (let i = 0; ; i++) {
		const datapath = new EbpfDatapath({
			hook: i % 4 < 2 ? "tcx" : "clsact",
			openChecksums: "refuse",
			localPrefixes: async () => [],
		});
		await setRules(datapath, { entries: restlessRules(i % 2 === 0 ? 0 : 1, name) });
		if (i === 1) process.stdout.write("at it\n");
	}
}
