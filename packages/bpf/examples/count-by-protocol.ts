/**
 * Counts packets and bytes by IP protocol (IPv4 and IPv6) and lets every packet pass. A complete program for
 * tcx and clsact, from the Ethernet header to per-CPU counters.
 *
 *     node count-by-protocol.ts        # as root: runs it on three packets
 */
import * as bpf from "@l3dsr/bpf";

/** One element of the map, on each CPU. */
export const COUNTER = bpf.struct("counter", { packets: "u64", bytes: "u64" });

export const COUNTERS = bpf.mapSpec({
	name: "by_protocol",
	type: "BPF_MAP_TYPE_PERCPU_ARRAY",
	key: bpf.U32,
	value: COUNTER,
	maxEntries: 256,
});

export function countByProtocol(): bpf.ProgramSpec {
	const p = new bpf.ProgramBuilder({ name: "count_protocol", type: "BPF_PROG_TYPE_SCHED_CLS" });
	const ctx = p.context(bpf.SKB);
	const key = p.stack("key", bpf.struct("key", { protocol: "u32" }));
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

function main(): void {
	using program = bpf.Program.load(countByProtocol());
	for (const protocol of [6, 6, 17]) {
		const packet = new Uint8Array(64);
		packet.set([0x08, 0x00, 0x45], 12);
		packet[bpf.ETHERNET.bytes + bpf.IPV4.fields.protocol.offset] = protocol;
		bpf.testRun(program, { data: packet });
	}
	for (const { key, value } of program.map(COUNTERS).entries()) {
		const packets = value.reduce((sum, cpu) => sum + cpu.packets, 0n);
		if (packets > 0n) console.log(`protocol ${key}: ${packets} packets`);
	}
}

if (import.meta.main) main();
