/**
 * Counts packets and bytes by IP protocol (IPv4 and IPv6) and lets every packet pass: a whole program, from
 * the Ethernet header to per-CPU counters, for tcx and clsact.
 */
import * as bpf from "../src/builder/index.ts";
import type { MapSpec, ProgramSpec } from "../src/spec.ts";

/** One element of the map, per CPU. */
export const COUNTER = bpf.layout("counter", { packets: bpf.u64, bytes: bpf.u64 });

export const COUNTERS: MapSpec = {
	name: "by_protocol",
	type: "BPF_MAP_TYPE_PERCPU_ARRAY",
	keySize: 4,
	valueSize: COUNTER.bytes,
	maxEntries: 256,
};

export function countByProtocol(): ProgramSpec {
	const p = new bpf.ProgramBuilder({ name: "count_protocol", type: "BPF_PROG_TYPE_SCHED_CLS" });
	const ctx = p.context(bpf.SKB);
	const key = p.stack("key", bpf.layout("key", { protocol: bpf.u32 }));
	const pass = p.label("pass");
	p.keep(ctx);

	p.comment("find the Ethernet header");
	const data = p.load(ctx.data, { name: "data" });
	const end = p.load(ctx.data_end, { name: "end" });
	p.prove(data, bpf.ETHERNET.bytes, end, pass);
	const ethernet = bpf.view(data, bpf.ETHERNET);
	const ipv4 = bpf.view(data, bpf.IPV4, bpf.ETHERNET.bytes);
	const ipv6 = bpf.view(data, bpf.IPV6, bpf.ETHERNET.bytes);

	const protocol = p.u32("protocol");
	p.switch(
		ethernet.type,
		[
			{
				name: "ipv4",
				values: [0x0800],
				body: () => {
					p.comment("read the protocol of IPv4");
					p.prove(data, bpf.ETHERNET.bytes + bpf.IPV4.bytes, end, pass);
					p.load(ipv4.protocol, { into: protocol });
				},
			},
			{
				name: "ipv6",
				values: [0x86dd],
				body: () => {
					p.comment("read the next header of IPv6");
					p.prove(data, bpf.ETHERNET.bytes + bpf.IPV6.bytes, end, pass);
					p.load(ipv6.nextHeader, { into: protocol });
				},
			},
		],
		() => p.goto(pass),
	);

	p.comment("count the packet");
	p.store(key.protocol, protocol);
	const entry = p.lookup(COUNTERS, key, pass);
	const counter = bpf.view(entry, COUNTER);
	p.increment(counter.packets, 1);
	using length = p.load(ctx.len);
	p.increment(counter.bytes, length);

	p.place(pass);
	p.comment("let it pass");
	p.exit(bpf.TC_ACT.OK);
	return p.build();
}
