/**
 * The program at tc ingress that delivers a VIP's answers to a socket connected to a real server.
 *
 * A connection that checks a VIP is sent like a director's packets: to the real server's own address, with the VIP's
 * DSCP. If the real server has its rule, it answers from the VIP, and the socket would not accept that. So for
 * packets from the VIP to a port of ours, the program changes the source to the real server's address, before
 * netfilter and routing see it. It notes who answered; otherwise an answer of a real server without a rule would look
 * like success.
 *
 * Plain headers only: the answer to a SYN has neither IP options nor extension headers.
 */
import {
	IPV4,
	IPV6,
	type Label,
	type MapSpec,
	ProgramBuilder,
	type ProgramSpec,
	part,
	SKB,
	struct,
	TCP,
	type Value,
	type View,
	view,
} from "@l3dsr/bpf";
import { ETHER_TYPE, type Family, PROTOCOL_NUMBER, TCP_FLAG } from "@l3dsr/packet";
import { PACKET_TYPE } from "../programs/link-layer.ts";
import { PASS } from "../programs/packet.ts";
import { CSUM_FLAG } from "../programs/transport-checksum.ts";
import { CONNECTION, CONNECTIONS_AT, PORT, tableSpec } from "./table.ts";

/** The program's name at its hook. */
export const PROGRAM_NAME = "l3dsr_vip_path";

export interface PathProgramOptions {
	/** The table's size, in connections. */
	readonly connections: number;
	/** Bytes before the network header. */
	readonly linkHeaderBytes: 0 | 14;
	/** bpf_l4_csum_replace knows BPF_F_IPV6 (Linux 6.16). */
	readonly ipv6ChecksumFlag: boolean;
}

const HEADER = { ipv4: IPV4, ipv6: IPV6 } as const;
const CHECKSUM_AT = { ip: 10, tcp: 16 } as const;
const SOURCE_AT = { ipv4: 12, ipv6: 8 } as const;
const DESTINATION_AT = { ipv4: 16, ipv6: 24 } as const;
const ADDRESS_BYTES = { ipv4: 4, ipv6: 16 } as const;
/** Version 4 and a header of five words. */
const PLAIN_IPV4 = 0x45;
/** The "more fragments" bit and the offset. */
const FRAGMENT = 0x3fff;
const BYTES16 = struct("address", { all: { bytes: 16 } });

interface Journey extends PathProgramOptions {
	readonly p: ProgramBuilder;
	readonly ctx: View<typeof SKB.fields>;
	readonly data: Value;
	readonly end: Value;
	readonly table: MapSpec;
	readonly pass: Label;
}

/** Deterministic: the same options give the same bytes. */
export function compilePathProgram(options: PathProgramOptions): ProgramSpec {
	const p = new ProgramBuilder({
		name: PROGRAM_NAME,
		type: "BPF_PROG_TYPE_SCHED_CLS",
		license: "Dual BSD/GPL",
	});
	const pass = p.label("pass");
	const isIpv6 = p.label("ipv6");
	const ctx = p.context(SKB);
	p.comment("IPv4 or IPv6, for this host?");
	p.keep(ctx);
	p.gotoIf(ctx.pkt_type, "==", PACKET_TYPE.otherHost, pass);
	const data = p.load(ctx.data, { name: "data", in: 2 });
	const end = p.load(ctx.data_end, { name: "end", in: 3 });
	const journey = { ...options, p, ctx, data, end, table: p.map(tableSpec(options.connections)), pass };
	p.gotoIf(ctx.protocol, "==", ETHER_TYPE.ipv6, isIpv6);
	p.gotoIf(ctx.protocol, "!=", ETHER_TYPE.ipv4, pass);
	emitFamily(journey, "ipv4");
	p.place(isIpv6);
	p.revive(data);
	p.revive(end);
	emitFamily(journey, "ipv6");
	p.placeBare(pass);
	p.comment("on to the next program");
	p.exit(PASS.tc);
	return p.build();
}

function emitFamily(journey: Journey, family: Family): void {
	const { p, data, linkHeaderBytes: link, table, pass } = journey;
	const header = HEADER[family].bytes;
	emitBounds(journey, link + header + TCP.bytes);
	p.comment("TCP behind a plain header?");
	if (family === "ipv4") {
		const ip = view(data, IPV4, link);
		p.gotoIf(ip.versionIhl, "!=", PLAIN_IPV4, pass);
		p.gotoIf(ip.protocol, "!=", PROTOCOL_NUMBER.tcp, pass);
		p.gotoIf(ip.fragment, "&", FRAGMENT, pass);
	} else p.gotoIf(view(data, IPV6, link).nextHeader, "!=", PROTOCOL_NUMBER.tcp, pass);
	const tcp = view(data, TCP, link + header);
	p.comment("a connection of this port?");
	const number = p.u32("number");
	{
		using port = p.load(tcp.destination, { name: "port" }).toHost();
		const entry = p.element(table, port, PORT, pass);
		p.load(entry.connection, { into: number });
		p.release(entry.connection.base);
	}
	p.gotoIf(number, "==", 0, pass);
	const connection = p.element(table, number, CONNECTION, pass, { offset: CONNECTIONS_AT, in: "kept" });
	p.release(number);
	p.comment("of this family, to its address, from its port?");
	p.gotoIf(connection.version, "!=", family === "ipv4" ? 4 : 6, pass);
	emitUnlessSame(journey, family, DESTINATION_AT[family], connection.local.offset, connection, pass);
	{
		using port = p.load(connection.port, { name: "service port" });
		p.gotoIf(tcp.source, "!=", port, pass);
	}
	const notVip = p.label("not from the VIP");
	p.comment("from the VIP?");
	emitUnlessSame(journey, family, SOURCE_AT[family], connection.vip.offset, connection, notVip);
	p.store(connection.fromVip, 1);
	emitRewrite(journey, family, connection);
	p.goto(pass);
	p.place(notVip);
	p.comment("an answer of the real server's own address?");
	emitUnlessSame(journey, family, SOURCE_AT[family], connection.real.offset, connection, pass);
	{
		using flags = p.load(tcp.flags);
		p.gotoUnless(flags, "&", TCP_FLAG.syn | TCP_FLAG.rst, pass);
	}
	p.store(connection.fromReal, 1);
	p.release(connection.vip.base);
	p.goto(pass);
}

type Connection = View<typeof CONNECTION.fields>;

/** Jumps to `otherwise` unless this address of the packet is the connection's. */
function emitUnlessSame(
	{ p, data, linkHeaderBytes: link }: Journey,
	family: Family,
	packetOffset: number,
	entryOffset: number,
	connection: Connection,
	otherwise: Label,
): void {
	const inPacket = view(data, BYTES16, link + packetOffset).all;
	const inEntry = view(connection.vip.base, BYTES16, entryOffset).all;
	for (let at = 0; at < ADDRESS_BYTES[family]; at += 4) {
		using wanted = p.load(part(inEntry, at, 4), { name: "wanted" });
		using found = p.load(part(inPacket, at, 4), { name: "found" });
		p.gotoIf(found, "!=", wanted, otherwise);
	}
}

function emitBounds({ p, ctx, data, end, pass }: Journey, bytes: number): void {
	p.comment("prove the headers; have the kernel pull them in where they are elsewhere");
	p.unlessProven(data, bytes, end, () => {
		p.run("bpf_skb_pull_data", [ctx, bytes]);
		p.revive(data);
		p.revive(end);
		p.load(ctx.data, { into: data });
		p.load(ctx.data_end, { into: end });
		p.prove(data, bytes, end, pass);
	});
}

/** Sets the source to the real server's address. Each checksum is updated first, by the same difference. */
function emitRewrite(
	{ p, ctx, linkHeaderBytes: link, ipv6ChecksumFlag }: Journey,
	family: Family,
	connection: Connection,
): void {
	const difference = () => p.load(connection.difference);
	if (family === "ipv6" && !ipv6ChecksumFlag) {
		p.comment("tell the sum of the whole packet of the address (before Linux 6.16)");
		using change = difference();
		p.run("bpf_csum_update", [ctx, change]);
	}
	p.comment("update the checksum of TCP");
	const flags =
		CSUM_FLAG.BPF_F_PSEUDO_HDR | (family === "ipv6" && ipv6ChecksumFlag ? CSUM_FLAG.BPF_F_IPV6 : 0);
	{
		using change = difference();
		p.run("bpf_l4_csum_replace", [ctx, link + HEADER[family].bytes + CHECKSUM_AT.tcp, 0, change, flags]);
	}
	if (family === "ipv4") {
		p.comment("update the header checksum");
		using change = difference();
		p.run("bpf_l3_csum_replace", [ctx, link + CHECKSUM_AT.ip, 0, change, 0]);
	}
	p.comment("the source is the real server");
	const real = part(connection.real, 0, ADDRESS_BYTES[family]);
	p.run("bpf_skb_store_bytes", [ctx, link + SOURCE_AT[family], real, ADDRESS_BYTES[family], 0]);
}
