/** Policy routing rules over rtnetlink, which select the table for a packet's route. */
import { type Netlink, type NetlinkMessage, NLM_F } from "../netlink.ts";
import { decodeAttributes, textAttribute, textValue, u32Attribute, u32Value } from "../netlink-attribute.ts";
import { AF_INET, AF_INET6 } from "../socket.ts";
import { given, type IpPrefix, nameIn, RTM, RTMSG, withRtnetlink } from "./protocol.ts";

const FRA = {
	DST: 1,
	SRC: 2,
	IIFNAME: 3,
	PRIORITY: 6,
	FWMARK: 10,
	TABLE: 15,
	FWMASK: 16,
	OIFNAME: 17,
	L3MDEV: 19,
} as const;
/** FR_ACT_* of include/uapi/linux/fib_rules.h; `table` looks up a route in the rule's table. */
const ACTIONS = { table: 1, goto: 2, nop: 3, blackhole: 6, unreachable: 7, prohibit: 8 } as const;
const FIB_RULE_INVERT = 2;
const UNMASKED = 0xffffffff;

export interface RouteRule {
	readonly family: "ipv4" | "ipv6";
	/** The rule with the lowest priority comes first. */
	readonly priority: number;
	/** `table`, `goto`, `blackhole`, `unreachable`, `prohibit` …; a number if it has no name. */
	readonly action: string;
	/** Action `table` only; 0 with `l3mdev`, whose table is the VRF's. */
	readonly table: number;
	readonly source?: IpPrefix;
	readonly destination?: IpPrefix;
	readonly inputInterface?: string;
	readonly outputInterface?: string;
	readonly mark?: { readonly value: number; readonly mask: number };
	readonly tos?: number;
	/** The rule applies to packets of a VRF. */
	readonly l3mdev: boolean;
	/** The rule applies to packets that do not match. */
	readonly inverted: boolean;
}

export interface NewRouteRule {
	readonly family: "ipv4" | "ipv6";
	readonly priority: number;
	readonly action?: keyof typeof ACTIONS;
	readonly table?: number;
	readonly source?: { readonly bytes: ArrayLike<number>; readonly length: number };
	readonly destination?: { readonly bytes: ArrayLike<number>; readonly length: number };
	readonly inputInterface?: string;
	readonly outputInterface?: string;
	readonly mark?: { readonly value: number; readonly mask?: number };
	readonly tos?: number;
}

/** The rules of both families, IPv4 first, in the kernel's order. Throws SyscallError. */
export function listRouteRules(netlink?: Netlink): readonly RouteRule[] {
	return withRtnetlink(netlink, (socket) =>
		[AF_INET, AF_INET6].flatMap((family) =>
			socket
				.dump({ type: RTM.GETRULE, payload: RTMSG.encode({ family }), doing: "list routing rules" })
				.flatMap((message) => decodeRule(message, family)),
		),
	);
}

/** Throws SyscallError: EEXIST if an equal rule exists. */
export function addRouteRule(rule: NewRouteRule, netlink?: Netlink): void {
	changeRule(rule, RTM.NEWRULE, NLM_F.CREATE | NLM_F.EXCL, "add", netlink);
}

/** Deletes the first rule that matches all given fields. Throws SyscallError: ENOENT if there is none. */
export function deleteRouteRule(rule: NewRouteRule, netlink?: Netlink): void {
	changeRule(rule, RTM.DELRULE, 0, "delete", netlink);
}

function changeRule(
	rule: NewRouteRule,
	type: number,
	flags: number,
	verb: string,
	netlink: Netlink | undefined,
): void {
	const { source, destination, table = 0, mark, inputInterface, outputInterface } = rule;
	const text = (name: string | undefined) => (name === undefined ? undefined : textValue(name));
	const bytes = (prefix: NewRouteRule["source"]) =>
		prefix === undefined ? undefined : Uint8Array.from(prefix.bytes);
	const payload = Buffer.concat([
		RTMSG.encode({
			family: rule.family === "ipv4" ? AF_INET : AF_INET6,
			destinationLength: destination?.length ?? 0,
			sourceLength: source?.length ?? 0,
			tos: rule.tos ?? 0,
			table: table < 256 ? table : 0,
			type: ACTIONS[rule.action ?? "table"],
		}),
		given(
			[FRA.DST, bytes(destination)],
			[FRA.SRC, bytes(source)],
			[FRA.IIFNAME, text(inputInterface)],
			[FRA.OIFNAME, text(outputInterface)],
			[FRA.PRIORITY, u32Value(rule.priority)],
			[FRA.FWMARK, mark === undefined ? undefined : u32Value(mark.value)],
			[FRA.FWMASK, mark === undefined ? undefined : u32Value(mark.mask ?? UNMASKED)],
			[FRA.TABLE, u32Value(table)],
		),
	]);
	const doing = `${verb} routing rule ${rule.priority}`;
	withRtnetlink(netlink, (socket) => socket.change({ type, flags, payload, doing }));
}

function decodeRule({ payload }: NetlinkMessage, wanted: number): RouteRule[] {
	const fixed = RTMSG.decode(payload);
	if (fixed.family !== wanted) return [];
	const attributes = decodeAttributes(payload.subarray(RTMSG.size));
	const source = attributes.get(FRA.SRC);
	const destination = attributes.get(FRA.DST);
	const inputInterface = textAttribute(attributes, FRA.IIFNAME);
	const outputInterface = textAttribute(attributes, FRA.OIFNAME);
	const mark = u32Attribute(attributes, FRA.FWMARK);
	return [
		{
			family: wanted === AF_INET ? "ipv4" : "ipv6",
			priority: u32Attribute(attributes, FRA.PRIORITY) ?? 0,
			action: nameIn(ACTIONS, fixed.type),
			table: u32Attribute(attributes, FRA.TABLE) ?? fixed.table,
			...(source === undefined ? {} : { source: { bytes: source, length: fixed.sourceLength } }),
			...(destination === undefined
				? {}
				: { destination: { bytes: destination, length: fixed.destinationLength } }),
			...(inputInterface === undefined ? {} : { inputInterface }),
			...(outputInterface === undefined ? {} : { outputInterface }),
			...(mark === undefined
				? {}
				: { mark: { value: mark, mask: u32Attribute(attributes, FRA.FWMASK) ?? UNMASKED } }),
			...(fixed.tos === 0 ? {} : { tos: fixed.tos }),
			l3mdev: (attributes.get(FRA.L3MDEV)?.[0] ?? 0) !== 0,
			inverted: (fixed.flags & FIB_RULE_INVERT) !== 0,
		},
	];
}
