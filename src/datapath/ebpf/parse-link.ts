/** What comes before the IP header: bounds, the DSCP's quick exit, and VLAN tags. */
import { add, and, ja, jeq, jgt, jne, load, loadImm64, mov, rsh, toBigEndian } from "../../bpf/asm/index.ts";
import type { Family } from "../../model/address.ts";
import type { Code } from "./code.ts";
import { CTX, PACKET } from "./frame.ts";
import { CONTEXT, type CompileTarget, helper, loadContext } from "./hook.ts";

/** The label at which the packet goes on as it is. */
export const PASS = "pass";

/** be16 ethertypes as a little-endian load sees them. */
const ETHERTYPE = { ipv4: 0x0008, ipv6: 0xdd86 } as const;

const VLAN_ID_MASK = 0x0fff;

/** pkt_type, uapi/linux/if_packet.h. */
const PACKET_OTHERHOST = 3;
const ALL_DSCPS = (1n << 64n) - 1n;

/** Goes to `v4` or `v6` for those families that have rules, else to PASS. */
export function emitProtocolDispatch(code: Code, target: CompileTarget, families: readonly Family[]): void {
	code.step("keep the context", mov.reg(CTX, 1));
	if (target.hook === "tc") {
		code.step(
			"read the protocol (behind a VLAN tag, which the kernel has taken off)",
			loadContext(2, CONTEXT.tc.protocol),
		);
	} else {
		code.step(
			"read the ethertype",
			loadContext(PACKET, CONTEXT.xdp.data),
			loadContext(3, CONTEXT.xdp.dataEnd),
			mov.reg(2, PACKET),
			add.imm(2, 14),
			jgt.reg(2, 3, PASS),
			load(2, 2, PACKET, 12),
		);
	}
	for (const family of families) {
		const label = family === "ipv4" ? "v4" : "v6";
		code.step(`${family === "ipv4" ? "IPv4" : "IPv6"}?`, jeq.imm(2, ETHERTYPE[family], label));
	}
	code.step("no rules for this protocol", ja(PASS));
}

/** Label `prefix`: PACKET points to `bytes` bytes that may be read and written. */
export function emitPacketBounds(code: Code, target: CompileTarget, prefix: string, bytes: number): void {
	const data = target.hook === "tc" ? CONTEXT.tc.data : CONTEXT.xdp.data;
	const dataEnd = target.hook === "tc" ? CONTEXT.tc.dataEnd : CONTEXT.xdp.dataEnd;
	const bounds = (outside: string) => [
		loadContext(PACKET, data),
		loadContext(3, dataEnd),
		mov.reg(2, PACKET),
		add.imm(2, bytes),
		jgt.reg(2, 3, outside),
	];
	code.label(prefix);
	if (target.hook === "xdp") {
		code.step("prove the header's bounds", ...bounds(PASS));
		return;
	}
	code.step("prove the header's bounds", ...bounds(`${prefix}_pull`));
	code.step("the header is there", ja(`${prefix}_bounded`));
	code.label(`${prefix}_pull`);
	code.step(
		"header not in linear memory: have the kernel pull it in, if the packet has so much",
		mov.reg(1, CTX),
		mov.imm(2, bytes),
		helper("bpf_skb_pull_data"),
		jne.imm(0, 0, PASS),
		...bounds(PASS),
	);
	code.label(`${prefix}_bounded`);
}

/** Leaves for PASS when no rule can match this DSCP: four instructions for the traffic that is none of ours. */
export function emitDscpFilter(code: Code, target: CompileTarget, family: Family, mask: bigint): void {
	const link = target.linkHeaderBytes;
	if (mask === ALL_DSCPS) {
		code.step("every DSCP has rules", mov.imm(3, 0));
		return;
	}
	code.step("load the DSCP", ...loadDscp(family, link));
	code.step(
		"no rule for this DSCP: leave the packet alone",
		loadImm64(4, mask),
		rsh.reg(4, 3),
		and.imm(4, 1),
		jeq.imm(4, 0, PASS),
	);
}

/** `r3 = DSCP`, 0–63, from the header at PACKET. */
export function loadDscp(family: Family, link: number) {
	if (family === "ipv4") return [load(1, 3, PACKET, link + 1), rsh.imm(3, 2)];
	// version 4 bits, Traffic Class 8, Flow Label 4
	return [load(2, 3, PACKET, link), toBigEndian(16, 3), rsh.imm(3, 6), and.imm(3, 0x3f)];
}

/**
 * Only what netfilter would see as coming in here. A tagged frame belongs to a VLAN device, and a rule with
 * `-i eth0` is not for it; VLAN 0 is only a priority. At XDP a tag that the card has not taken off hides the
 * ethertype, so nothing is to be done; a frame for another host comes that far only in promiscuous mode.
 */
export function emitFrameFilter(code: Code, target: CompileTarget, prefix: string): void {
	if (target.hook !== "tc") return;
	code.step(
		"a frame for another host goes through a bridge, or to a sniffer, and never up to IP",
		loadContext(2, CONTEXT.tc.packetType),
		jeq.imm(2, PACKET_OTHERHOST, PASS),
	);
	code.step(
		"a frame of another VLAN is not from this interface",
		loadContext(2, CONTEXT.tc.vlanPresent),
		jeq.imm(2, 0, `${prefix}_untagged`),
		loadContext(2, CONTEXT.tc.vlanTci),
		and.imm(2, VLAN_ID_MASK),
		jne.imm(2, 0, PASS),
	);
	code.label(`${prefix}_untagged`);
}
