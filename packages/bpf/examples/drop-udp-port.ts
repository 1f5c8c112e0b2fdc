/**
 * Drops UDP over IPv6 to one port at XDP. It follows up to eight extension headers, so they cannot hide the
 * port. A packet that it cannot follow to the end passes.
 *
 *     node drop-udp-port.ts 53        # as root: runs it on a datagram to port 53 and one to port 54
 */
import {
	ETHERNET,
	IPV6,
	IPV6_EXTENSION,
	IPV6_FRAGMENT,
	Program,
	ProgramBuilder,
	type ProgramSpec,
	testRun,
	UDP,
	view,
	XDP,
	XDP_ACTION,
} from "@l3dsr/bpf";

const HOP_BY_HOP = 0;
const UDP_PROTOCOL = 17;
const ROUTING = 43;
const FRAGMENT = 44;
const DESTINATION_OPTIONS = 60;

const HEADERS_AT_MOST = 8;

export function dropUdpPort(port: number): ProgramSpec {
	const p = new ProgramBuilder({ name: "drop_udp_port", type: "BPF_PROG_TYPE_XDP" });
	const ctx = p.context(XDP);
	const pass = p.label("pass");
	const transport = p.label("transport");

	p.comment("find the IPv6 header");
	const data = p.load(ctx.data, { name: "data" });
	const end = p.load(ctx.data_end, { name: "end" });
	p.prove(data, ETHERNET.bytes + IPV6.bytes, end, pass);
	p.gotoIf(view(data, ETHERNET).type, "!=", 0x86dd, pass);
	const next = p.load(view(data, IPV6, ETHERNET.bytes).nextHeader, { name: "next" });

	p.comment("walk the extension headers");
	const cursor = p.copy(data, "cursor").add(ETHERNET.bytes + IPV6.bytes);
	p.release(data);
	for (let n = 1; n <= HEADERS_AT_MOST; n++) {
		const lengthKnown = p.label(`header ${n} length`);
		const advance = p.label(`header ${n} end`);
		p.gotoIf(next, "==", UDP_PROTOCOL, transport);
		p.comment(`extension header ${n}`);
		const length = p.u64("length");
		p.switch(
			next,
			[
				{ values: [HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS], body: () => p.goto(lengthKnown) },
				{
					values: [FRAGMENT],
					body: () => {
						const fragment = view(cursor, IPV6_FRAGMENT);
						p.prove(cursor, IPV6_FRAGMENT.bytes, end, pass);
						// A later fragment has no port.
						p.gotoIf(fragment.fragment, "&", 0xfff8, pass);
						length.set(IPV6_FRAGMENT.bytes);
						p.load(fragment.nextHeader, { into: next });
						p.goto(advance);
					},
				},
			],
			() => p.goto(pass),
		);
		p.place(lengthKnown);
		const extension = view(cursor, IPV6_EXTENSION);
		p.prove(cursor, 8, end, pass);
		p.load(extension.length, { into: length });
		length.add(1).lsh(3);
		p.load(extension.nextHeader, { into: next });
		p.place(advance);
		cursor.add(length);
		p.release(length);
	}
	p.gotoIf(next, "!=", UDP_PROTOCOL, pass);

	p.place(transport);
	p.comment("compare the port");
	p.prove(cursor, UDP.bytes, end, pass);
	p.gotoIf(view(cursor, UDP).destination, "!=", port, pass);
	p.comment("drop it");
	p.exit(XDP_ACTION.DROP);

	p.place(pass);
	p.comment("let it pass");
	p.exit(XDP_ACTION.PASS);
	return p.build();
}

function main(): void {
	const port = Number(process.argv[2] ?? 53);
	using program = Program.load(dropUdpPort(port));
	for (const to of [port, port + 1]) {
		const packet = new Uint8Array(ETHERNET.bytes + IPV6.bytes + UDP.bytes);
		packet.set(ETHERNET.encode({ type: 0x86dd }));
		packet.set(IPV6.encode({ versionClassFlow: 0x6000_0000, nextHeader: UDP_PROTOCOL }), ETHERNET.bytes);
		packet.set(UDP.encode({ destination: to, length: UDP.bytes }), ETHERNET.bytes + IPV6.bytes);
		const { verdict } = testRun(program, { data: packet });
		console.log(`port ${to}: ${verdict === XDP_ACTION.DROP ? "dropped" : "passed"}`);
	}
}

if (import.meta.main) main();
