/**
 * Wall time of `trace` and `probe` in bulk. Each run must succeed: the kernel agrees with trace, and every
 * VIP answers probe.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodePcap, LINK_TYPE } from "@l3dsr/packet";
import { ORDINAL_STEP } from "../packages/l3dsr/src/model/ruleset.ts";
import { openDatapath } from "../packages/l3dsr/src/rewrite/host-datapath.ts";
import { REAL, startServer, VIPS } from "../packages/l3dsr/test/probe/stage.ts";
import { setRules } from "../packages/l3dsr/test/rewrite/set-rules.ts";
import { inside } from "./commands.ts";
import { type Effort, interleave, type Series } from "./measure.ts";
import { Owner } from "./owner.ts";
import { frame, MOST_VIPS, vipRules } from "./packets.ts";
import { Receiver } from "./receiver.ts";

export const PACKETS = 5000;
export const TARGETS = 1000;

export const PROVING = {
	program: `l3dsr trace, ${PACKETS} packets through a program`,
	rules: `l3dsr trace, ${PACKETS} packets through rules on nft`,
	probe: `l3dsr probe, ${TARGETS} targets`,
} as const;

/**
 * Milliseconds of each of PROVING. `bin`: the folder of l3dsr's commands. Moves this process between
 * namespaces.
 */
export async function measureProving(effort: Effort, bin: string): Promise<Map<string, Series>> {
	const folder = mkdtempSync(join(tmpdir(), "l3dsr-bench-"));
	try {
		using owner = new Owner();
		const l3dsr = join(bin, "l3dsr");
		const capture = join(folder, "in.pcap");
		writeFileSync(capture, mixedCapture());
		const trace = async (name: string, datapath: "ebpf" | "nft") => {
			const host = owner.use(new Receiver());
			host.enter();
			const opened = openDatapath({ datapath });
			const rules = (["ipv4", "ipv6"] as const).flatMap((family) =>
				vipRules(family, MOST_VIPS, host.device.name),
			);
			const entries = rules.map((rule, index) => ({ rule, ordinal: index * ORDINAL_STEP }));
			await setRules(opened, { entries });
			const output = join(folder, `${datapath}.pcap`);
			return inside(host, name, [l3dsr, "trace", capture, "-i", host.device.name, "-w", output]);
		};
		const asking = owner.use(new Receiver());
		asking.enter();
		asking.run("ip", "link", "delete", asking.device.name);
		owner.use(await startServer());
		const targets = join(folder, "targets");
		writeFileSync(targets, targetLines());
		return await interleave(
			[
				await trace(PROVING.program, "ebpf"),
				await trace(PROVING.rules, "nft"),
				inside(asking, PROVING.probe, [l3dsr, "probe", "--file", targets]),
			],
			effort,
		);
	} finally {
		rmSync(folder, { recursive: true });
	}
}

/** Both families, TCP and UDP, every DSCP. */
function mixedCapture(): Uint8Array {
	const frames = Array.from({ length: PACKETS }, (_, index) => {
		const family = index % 2 === 0 ? "ipv4" : "ipv6";
		return frame(family, (index >> 1) % 2 === 0 ? "tcp" : "udp", (index >> 2) % 64);
	});
	const captured = frames.map((bytes, index) => ({
		bytes,
		lengthBytes: bytes.length,
		timestampNs: BigInt(index) * 1000n,
	}));
	return encodePcap(captured, LINK_TYPE.ethernet);
}

function targetLines(): string {
	const families = ["ipv4", "ipv6"] as const;
	const lines = Array.from({ length: TARGETS }, (_, index) => {
		const family = families[index % 2] ?? "ipv4";
		const code = 1 + ((index >> 1) % 2);
		return `${REAL[family]} ${VIPS[family][code - 1]} ${code} 80\n`;
	});
	return lines.join("");
}
