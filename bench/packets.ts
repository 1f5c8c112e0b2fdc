/** The packets and rules of all measurements. */
import { dscp, type Family } from "@l3dsr/packet";
import { lowerService } from "../packages/l3dsr/src/model/lower-service.ts";
import type { Rule } from "../packages/l3dsr/src/model/rule.ts";
import type { SlottedRule } from "../packages/l3dsr/src/rewrite/ebpf/compile/interface-rules.ts";
import { FIRST_RULE_SLOT } from "../packages/l3dsr/src/rewrite/ebpf/compile/interface-rules.ts";
import { ethernet, ipv4, ipv6, type Payload, tcp, udp } from "../packages/l3dsr/test/packets/build.ts";
import { daddrRule } from "../packages/l3dsr/test/packets/rules.ts";

/** The real server's own address, where packets arrive. */
export const REAL_IP = { ipv4: "198.18.0.1", ipv6: "2001:db8:18::1" } as const;
export const SOURCE = { ipv4: "198.19.0.1", ipv6: "2001:db8:19::1" } as const;

/** DSCP 1–63; unmarked traffic has DSCP 0. */
export const MOST_VIPS = 63;

/** A DSCP without a rule, except with 63 VIPs, where only unmarked traffic matches nothing. */
export const OTHER_DSCP = 0;

export function vipOf(family: Family, dscp: number): string {
	return family === "ipv4" ? `198.18.1.${dscp}` : `2001:db8:18:1::${dscp.toString(16)}`;
}

/** One rule for each DSCP from 1 on, in raw PREROUTING; `device` for `-i`. */
export function vipRules(family: Family, vips: number, device?: string): Rule[] {
	const header =
		device === undefined ? {} : { inInterface: { name: device, wildcard: false, negated: false } };
	return Array.from({ length: vips }, (_, index) =>
		daddrRule(vipOf(family, index + 1), { dscp: index + 1, header }),
	);
}

/** The same as services, which rewrite only packets to an address of this host. */
export function serviceRules(family: Family, vips: number, device: string): Rule[] {
	const interfaces = [{ name: device, wildcard: false }];
	return vipRules(family, vips).flatMap(({ target }, index) =>
		lowerService(
			{ name: target.daddr.text, vip: target.daddr, selection: { dscp: dscp(index + 1) }, clearDscp: false },
			{ table: "raw", interfaces, localOnly: true, signed: true },
		),
	);
}

export function slotted(rules: readonly Rule[]): SlottedRule[] {
	return rules.map((rule, index) => ({ rule, ordinal: index, slot: FIRST_RULE_SLOT + index }));
}

const TRANSPORT = { tcp, udp } as const;
export type Transport = keyof typeof TRANSPORT;

/** An Ethernet frame to the real server, by default to the MAC address of the receiver (receiver.ts). */
export function frame(
	family: Family,
	transport: Transport,
	dscp: number,
	options: { readonly destination?: string } = {},
): Uint8Array {
	const payload: Payload = TRANSPORT[transport]({ data: "a payload of thirty-two bytes ..." });
	const addresses = { source: SOURCE[family], destination: REAL_IP[family], dscp };
	const packet = family === "ipv4" ? ipv4(addresses, payload) : ipv6(addresses, payload);
	return ethernet(options, packet);
}
