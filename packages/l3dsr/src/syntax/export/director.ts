/** The table of VIPs as a director needs it, and what the directors' formats share. Pure. */
import { type Address, type Dscp, type Family, PROTOCOL_NUMBER, prefixContains } from "@l3dsr/packet";
import type { NumberRange } from "../../model/rule.ts";
import type { Service } from "../../model/service.ts";
import type { LeftOut, Printer, VipTable } from "./vip-table.ts";

/** What a director does for a service: sends packets for this VIP (and port) to real servers, marked with a code. */
export interface Listener {
	readonly service: Service;
	readonly vip: Address;
	readonly dscp: Dscp;
	/** Both are absent for a listener on all of the VIP's packets. */
	readonly protocol?: "tcp" | "udp";
	readonly port?: number;
	/** In the VIP's family, and accepted by the service. */
	readonly reals: readonly Address[];
}

export interface DirectorLimits {
	readonly families: readonly Family[];
	/** The reason given for a VIP of another family. */
	readonly familyWhy?: string;
	/** A virtual server has one code for all of its ports. */
	readonly oneCodePerVip?: boolean;
	/** Why DSCP 0 cannot be set; absent if it can. */
	readonly zeroWhy?: string;
}

/** A printer for the lines that `print` makes from the listeners and all their real servers. */
export function directorPrinter(
	limits: DirectorLimits,
	print: (listeners: readonly Listener[], reals: readonly Address[]) => readonly string[],
): Printer {
	return (table) => {
		const { listeners, left } = listenersOf(table, limits);
		const lines = print(listeners, realsInUse(listeners));
		return { text: lines.map((line) => `${line}\n`).join(""), left };
	};
}

/** Groups of lines, each followed by `!`, as in configurations derived from Cisco's. */
export function withBangs(blocks: readonly (readonly string[])[]): string[] {
	return blocks.flatMap((block) => [...block, "!"]);
}

/** The VIPs, each with its listeners. */
export function listenersByVip(listeners: readonly Listener[]): { vip: Address; own: Listener[] }[] {
	const vips = new Map(listeners.map(({ vip }) => [vip.text, vip]));
	return [...vips.values()].map((vip) => ({
		vip,
		own: listeners.filter((one) => one.vip.text === vip.text),
	}));
}

/** The services as a director sees them, without the conditions that only the host checks (interface, clear-dscp). */
export function listenersOf(
	{ configuration, reals }: VipTable,
	limits: DirectorLimits,
): { readonly listeners: readonly Listener[]; readonly left: readonly LeftOut[] } {
	const listeners: Listener[] = [];
	const left: LeftOut[] = [];
	const codes = new Map<string, Dscp>();
	for (const service of configuration.services) {
		const why = whyNoListener(service, reals, limits);
		if (why !== undefined) {
			left.push({ what: service.name, why });
			continue;
		}
		for (const listener of expand(service, reals)) {
			const place = limits.oneCodePerVip === true ? "" : ` ${listener.protocol ?? ""} ${listener.port ?? ""}`;
			const key = listener.vip.text + place;
			const taken = codes.get(key);
			if (taken === undefined) codes.set(key, listener.dscp);
			else if (taken !== listener.dscp) {
				left.push({ what: service.name, why: `its VIP${place} has DSCP ${taken} already` });
				continue;
			}
			const known = listeners.some(
				(one) =>
					one.vip.text === listener.vip.text &&
					one.protocol === listener.protocol &&
					one.port === listener.port,
			);
			if (!known) listeners.push(listener);
		}
	}
	return { listeners, left };
}

function whyNoListener(
	{ vip, selection }: Service,
	reals: readonly Address[],
	limits: DirectorLimits,
): string | undefined {
	if (selection === undefined) return "L2DSR: the director sends its packets unchanged, by MAC address";
	if (!limits.families.includes(vip.family)) return limits.familyWhy ?? `it is ${vip.family}`;
	if (selection.dscp === undefined) return "it is not selected by a DSCP, which is what the director sets";
	if (selection.mark !== undefined) return "it matches a packet mark, which a director cannot set";
	if (selection.dscp === 0 && limits.zeroWhy !== undefined) return limits.zeroWhy;
	if (realsOf(vip, selection.real, reals).length === 0)
		return `no real server is ${vip.family}, or none matches its real address`;
	const { protocols, ports } = selection;
	const others = protocols?.filter(
		(number) => number !== PROTOCOL_NUMBER.tcp && number !== PROTOCOL_NUMBER.udp,
	);
	if (others !== undefined && others.length > 0) return "it has protocols other than tcp and udp";
	if (protocols !== undefined && ports === undefined) return "it has a protocol on all ports";
	if (ports?.some(isWide) === true) return "it has a range of ports, which would need many virtual servers";
	return undefined;
}

/** Ranges of up to this many ports are written port by port. */
const MOST_PORTS = 16;

function isWide({ first, last }: NumberRange): boolean {
	return last - first >= MOST_PORTS;
}

function realsOf(
	vip: Address,
	own: NonNullable<Service["selection"]>["real"],
	reals: readonly Address[],
): Address[] {
	return reals.filter(
		(real) => real.family === vip.family && (own === undefined || prefixContains(own, real)),
	);
}

function expand(service: Service, reals: readonly Address[]): Listener[] {
	const { vip, selection } = service;
	if (selection?.dscp === undefined) return [];
	const common = { service, vip, dscp: selection.dscp, reals: realsOf(vip, selection.real, reals) };
	const { protocols, ports } = selection;
	if (ports === undefined) return [common];
	const names = (["tcp", "udp"] as const).filter(
		(name) => protocols === undefined || protocols.includes(PROTOCOL_NUMBER[name]),
	);
	return names.flatMap((protocol) =>
		ports.flatMap(({ first, last }) =>
			Array.from({ length: last - first + 1 }, (_, index) => ({ ...common, protocol, port: first + index })),
		),
	);
}

/** `10-0-0-5`: an address inside a name, for formats whose names have no dots or colons. */
export function addressName({ text }: Address): string {
	return text.replace(/::/g, "--").replace(/[.:]/g, "-");
}

/** The real servers of all listeners, each once. */
function realsInUse(listeners: readonly Listener[]): Address[] {
	const byText = new Map(listeners.flatMap(({ reals }) => reals.map((real) => [real.text, real] as const)));
	return [...byText.values()];
}
