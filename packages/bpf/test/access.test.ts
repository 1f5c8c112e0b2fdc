import assert from "node:assert/strict";
import { test } from "node:test";
import type { CapabilityName } from "@l3dsr/linux";
import { withCapabilities } from "../../../test/support/capabilities.ts";
import { enterNetns } from "../../../test/support/netns.ts";
import { probeBpfAccess } from "../src/index.ts";

enterNetns();

const TYPES = ["BPF_PROG_TYPE_SCHED_CLS", "BPF_PROG_TYPE_XDP"] as const;

test("names the first use of bpf(2) that a process may not make, and the reason", async () => {
	const denied = async (...names: CapabilityName[]) =>
		await withCapabilities(names, async () => probeBpfAccess(TYPES)?.doing);
	const { doing, reason } = (await withCapabilities([], async () => probeBpfAccess(TYPES))) ?? {};
	assert.deepEqual({ doing, reason }, { doing: "create maps", reason: "EPERM (operation not permitted)" });
	assert.equal(await denied("CAP_BPF"), "load programs of type BPF_PROG_TYPE_SCHED_CLS");
	assert.equal(await denied("CAP_BPF", "CAP_NET_ADMIN"), "find programs by their id");
	assert.equal(await denied("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"), "find programs by their id");
	assert.equal(await denied("CAP_SYS_ADMIN"), undefined);
	assert.equal(probeBpfAccess(TYPES), undefined);
});
