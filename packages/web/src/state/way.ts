/**
 * The way of a service's packets, as far as this host knows it: three stops and the hops between them. Pure.
 */
import type { DirectedServiceRecord, ServiceRecord } from "@l3dsr/records";
import { dscpText, percent } from "./format.ts";
import { codesOf, conditionsText } from "./selection.ts";
import type { Tone } from "./services.ts";

/** One of the three hosts on the way. */
export interface Stop {
	readonly title: string;
	/** The configuration at this stop, one line each. */
	readonly lines: readonly string[];
	/** This host, about which the page knows most. */
	readonly here?: boolean;
	readonly tone?: Tone;
}

/** The hop between two stops. */
export interface Hop {
	/** `to 192.0.2.10`. */
	readonly address: string;
	/** `DSCP 7 (TOS 0x1c)`. */
	readonly code: string;
	/** No packets pass at present. */
	readonly broken?: boolean;
}

export interface Way {
	readonly client: Stop;
	readonly director: Stop;
	readonly real: Stop;
	readonly toDirector: Hop;
	readonly toReal: Hop;
	/** The way of the answer, which bypasses the director. */
	readonly back: Hop;
}

/** The number of real servers that are named. */
const MOST_NAMED = 3;

/** The way as a real server sees it. */
export function wayToHere(service: ServiceRecord, host: string): Way {
	const { vip, selection, state, reason, loopback, rules, datapaths, type } = service;
	const codes = codesOf(selection);
	const takes = conditionsText(selection);
	const marked = codes.length > 0 ? `DSCP ${codes.map(dscpText).join(" or ")}` : "";
	const works = state === "up" || state === "not configured";
	const reals = [...new Set(selection.flatMap(({ real }) => (real === undefined ? [] : [real])))];
	const held = loopback === null ? "✕ the VIP is not on lo" : `✓ the VIP is on ${loopback}`;
	const mapped =
		rules.present >= rules.wanted && rules.present > 0
			? `✓ ${codes.length > 0 ? `DSCP ${codes.join(", ")}` : "it"} → the VIP, by ${datapaths.join(" and ") || "its rules"}`
			: `✕ ${rules.present} of ${rules.wanted} rules in place`;
	return {
		client: { title: "Client", lines: ["any address"] },
		director: {
			title: "Director",
			lines: type === "l2dsr" ? ["keeps the addresses"] : ["picks a real server"],
		},
		real: {
			title: shortName(host),
			here: true,
			tone: works ? "good" : state === "partial" ? "warn" : state === "stopped" ? "idle" : "bad",
			lines: reason === undefined ? (type === "l2dsr" ? [held] : [mapped, held]) : ["stopped here"],
		},
		toDirector: { address: `to ${vip}`, code: takes === "" ? "DSCP 0" : `DSCP 0, ${takes}` },
		toReal:
			type === "l2dsr"
				? { address: `to ${vip}`, code: "to this host's Ethernet address" }
				: { address: `to ${reals.join(" or ") || "this host's own address"}`, code: marked, broken: !works },
		back: { address: `from ${vip} to the client`, code: "straight back", broken: !works },
	};
}

/** Shortens the name to fit the picture. */
function shortName(host: string): string {
	return host.split(".")[0] || host;
}

/** The way as a director sees it. */
export function wayFromHere(service: DirectedServiceRecord, host: string): Way {
	const { vip, protocol, port, dscp, pool, reals, state } = service;
	const takers = reals.filter(({ share }) => share > 0).toSorted((a, b) => b.share - a.share);
	const named = takers.slice(0, MOST_NAMED).map(({ name, share }) => `${name} ${percent(share)}`);
	const more = takers.length - named.length;
	const configured = reals.filter((real) => real.state !== "leaving").length;
	const broken = state === "down";
	return {
		client: { title: "Client", lines: ["any address"] },
		director: {
			title: shortName(host),
			here: true,
			tone: state === "up" ? "good" : state === "floor" ? "warn" : "bad",
			lines: [`picks a real server of ${pool}`, `${takers.length} of ${configured} take new flows`],
		},
		real: {
			title: "Real server",
			lines: named.length === 0 ? ["none"] : [...named, ...(more > 0 ? [`and ${more} more`] : [])],
		},
		toDirector: { address: `to ${vip}`, code: `${protocol} ${port}, DSCP 0` },
		toReal: { address: "to the real server", code: `DSCP ${dscpText(dscp)}`, broken },
		back: { address: `from ${vip} to the client`, code: "straight back", broken },
	};
}
