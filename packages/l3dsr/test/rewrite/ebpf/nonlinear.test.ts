/** Packets with only the link-layer header in linear memory, as some network cards deliver large ones. */

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import {
	arrayKey,
	Program,
	ProgramBuilder,
	type ProgramSpec,
	SKB,
	struct,
	tcxIngress,
	view,
} from "@l3dsr/bpf";
import { interfaceByName, PacketSocket } from "@l3dsr/linux";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns, ip } from "../../../../../test/support/netns.ts";

import { PASS } from "../../../src/programs/packet.ts";
import { EbpfDatapath } from "../../../src/rewrite/ebpf/kernel/ebpf.ts";

import { bytesOf, ethernet, extension, ipv4, ipv6, type Payload, udp } from "../../packets/build.ts";
import { daddrRule } from "../../packets/rules.ts";
import { setRules } from "../set-rules.ts";

enterNetns();
failOnLeaks();

const HERE = "02:00:00:00:00:01";
const PORT = 7001;
const VIP = { ipv4: "10.1.1.1", ipv6: "fd00:1::1" } as const;
const header = { inInterface: { name: "in0", wildcard: false, negated: false } };

/** More than a page: a packet socket puts anything shorter into linear memory completely. */
const DATA = new Uint8Array(6000).map((_, i) => i & 0xff);
const payload: Payload = udp({ destinationPort: PORT, data: DATA });

/**
 * Records how many bytes of the last large packet (the kernel itself sends small ones) are in linear memory.
 */
function linearProbe(): ProgramSpec {
	const p = new ProgramBuilder({ name: "linear_probe", type: "BPF_PROG_TYPE_SCHED_CLS" });
	const ctx = p.context(SKB);
	const linear = p.map({
		name: "linear",
		type: "BPF_MAP_TYPE_ARRAY",
		keySize: 4,
		valueSize: 4,
		maxEntries: 1,
	});
	p.if(ctx.len, ">", DATA.length, () => {
		const data = p.load(ctx.data);
		const length = p.u64("length").set(p.load(ctx.data_end)).sub(data);
		p.store(view(p.mapValue(linear), struct("linear", { bytes: "u32" })).bytes, length);
	});
	p.exit(PASS.tc);
	return p.build();
}

for (const [what, family, packet] of [
	["IPv4", "ipv4", ipv4({ destination: "192.0.2.10", dscp: 1 }, payload)],
	["IPv6", "ipv6", ipv6({ destination: "2001:db8:a::10", dscp: 1 }, payload)],
	[
		"IPv6 with an extension header",
		"ipv6",
		ipv6({ destination: "2001:db8:a::10", dscp: 1, extensions: [extension.destinationOptions(1)] }, payload),
	],
] as const) {
	for (const more of [{}, { dport: PORT + 1 }] as const) {
		const title = `${what}${more.dport === undefined ? "" : ", with another port"}: a packet that is not in linear memory comes out right`;
		test(title, async () => {
			ip(`link add in0 address ${HERE} mtu 9000 type veth peer name out0 mtu 9000`);
			ip("link set in0 up");
			ip("link set out0 up");
			for (const name of ["all", "in0"]) writeFileSync(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, "0");
			ip(`address add 192.0.2.1/24 dev in0`);
			ip("route add default via 192.0.2.2 dev in0 onlink");
			ip("-6 route add default dev in0");
			const vip = VIP[family];
			ip(`address add ${vip} dev lo${family === "ipv6" ? " nodad" : ""}`);
			using probe = Program.load(linearProbe());
			const datapath = new EbpfDatapath({
				hook: "tcx",
				openChecksums: "refuse",
				localPrefixes: async () => [],
			});
			const entry = { rule: daddrRule(vip, { dscp: 1, header, ...more }), ordinal: 0 };
			await setRules(datapath, { entries: [entry] });
			tcxIngress.attach(interfaceByName("in0"), probe, { position: "first" });
			const server = createSocket(family === "ipv4" ? "udp4" : "udp6").bind(more.dport ?? PORT, vip);
			await once(server, "listening");
			try {
				using socket = new PacketSocket({ interfaceName: "out0", etherType: 0, offloads: true });
				const arrived = once(server, "message", { signal: AbortSignal.timeout(3000) });
				socket.send([bytesOf(ethernet({ source: "02:00:00:00:00:02", destination: HERE }, packet))]);
				const [message] = (await arrived) as [Uint8Array]; // dgram
				assert.deepEqual(new Uint8Array(message), DATA);
				const linear = Buffer.from(probe.map("linear").lookup(arrayKey(0)) ?? []).readUInt32LE();
				assert.ok(linear < 34, `${linear} bytes were in linear memory`);
			} finally {
				server.close();
				ip("link delete in0");
				ip(`address del ${vip} dev lo`);
			}
		});
	}
}
