/** Real TCP and UDP through the programs, in every offload state that the hook supports. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns, ip } from "../../../../../test/support/netns.ts";
import { L3dsrError } from "../../../src/errors.ts";
import type { HookName } from "../../../src/rewrite/ebpf/kernel/attachment.ts";
import { EbpfDatapath } from "../../../src/rewrite/ebpf/kernel/ebpf.ts";
import { testOffloadStates } from "../../packets/offload-states.ts";
import { daddrRule } from "../../packets/rules.ts";
import { setRules } from "../set-rules.ts";

enterNetns();
failOnLeaks();

const PLACE = { table: "raw", chain: "PREROUTING" } as const;

function open(hook: HookName, openChecksums: "refuse" | "accept" = "refuse"): EbpfDatapath {
	return new EbpfDatapath({ hook, openChecksums, localPrefixes: async () => [] });
}

testOffloadStates("eBPF at tcx", () => open("tcx"));
testOffloadStates("eBPF at clsact", () => open("clsact"), PLACE, ["pending", "big", "merged"]);
// At XDP every sender must complete its checksums. GRO merges after native XDP, and not at all at generic
// XDP.
testOffloadStates("eBPF at XDP", () => open("xdp", "accept"), PLACE, ["plain", "merged"]);
testOffloadStates("eBPF at generic XDP", () => open("xdp-generic", "accept"), PLACE, ["plainBehind"]);

for (const hook of ["xdp", "xdp-generic"] as const) {
	test(`${hook} refuses a veth, whose packets may come without their checksum, and does not change it`, async () => {
		ip("link add in0 type veth peer name out0");
		const rule = daddrRule("192.0.2.1", {
			dscp: 1,
			header: { inInterface: { name: "in0", wildcard: false, negated: false } },
		});
		await assert.rejects(
			setRules(open(hook), { entries: [{ rule, ordinal: 1 }] }),
			(error: unknown) =>
				error instanceof L3dsrError &&
				error.code === "KERNEL_FEATURE" &&
				/XDP of in0: packets of a veth interface may arrive without their checksum/.test(error.message),
		);
		const { rules, findings } = await open(hook).observe();
		assert.deepEqual({ rules, findings }, { rules: [], findings: [] });
		ip("link delete in0");
	});
}
