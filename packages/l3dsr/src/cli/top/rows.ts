/** What `top` lists: the services that a host answers or directs, or real servers. Pure. */
import type { DirectedServiceRecord, RealRecord } from "../../inspect/status/director-record.ts";
import type { Rate } from "../../inspect/status/service-rows.ts";
import type { StatusRecord } from "../../inspect/status/status.ts";

/** `good` is fine, `bad` needs attention, and `idle` is out of use on purpose. */
export type Tone = "good" | "warn" | "bad" | "idle";

export interface TopRow {
	/** Stays the same from record to record. */
	readonly key: string;
	readonly state: string;
	readonly tone: Tone;
	/** Name of the service or of the real server. */
	readonly name: string;
	/** The VIP, or the real server's address. */
	readonly address: string;
	/** What a service takes, or the service that a real server works for. */
	readonly what: string;
	/** Datapaths; the pool of a directed service; a real server's share of new flows. */
	readonly by: string;
	readonly rate: Rate | null;
	/** Why it is not up. */
	readonly reason: string | undefined;
}

export const VIEWS = ["services", "real servers"] as const;
export type View = (typeof VIEWS)[number];

export function rowsOf(record: StatusRecord, view: View): readonly TopRow[] {
	const directed = record.director?.services ?? [];
	if (view === "real servers")
		return directed.flatMap((service) => service.reals.map((real) => realRow(service, real)));
	return [...record.services.map(serviceRow), ...directed.map(directedRow)];
}

const SERVICE_TONE: Readonly<Record<StatusRecord["services"][number]["state"], Tone>> = {
	up: "good",
	partial: "warn",
	"not configured": "warn",
	stopped: "idle",
	down: "bad",
};

function serviceRow(service: StatusRecord["services"][number]): TopRow {
	const { name, vip, selects, state, datapaths, rate, reason } = service;
	return {
		key: `${name} ${vip} ${selects}`,
		state,
		tone: SERVICE_TONE[state],
		name,
		address: vip,
		what: selects,
		by: datapaths.join(","),
		rate: rate ?? null,
		reason,
	};
}

const DIRECTED_TONE: Readonly<Record<DirectedServiceRecord["state"], Tone>> = {
	up: "good",
	floor: "warn",
	down: "bad",
};

const serviceKey = ({ vip, protocol, port }: DirectedServiceRecord): string => `${vip} ${protocol} ${port}`;

function directedRow(service: DirectedServiceRecord): TopRow {
	const { name, vip, protocol, port, dscp, state, pool, rate, reals } = service;
	const up = reals.filter((real) => real.state === "up").length;
	return {
		key: `directed ${serviceKey(service)}`,
		state,
		tone: DIRECTED_TONE[state],
		name,
		address: vip,
		what: `${protocol}/${port}, DSCP ${dscp}`,
		by: `${pool} ${up}/${reals.length}`.trim(),
		rate: rate ?? null,
		reason: undefined,
	};
}

const REAL_TONE: Readonly<Record<RealRecord["state"], Tone>> = {
	up: "good",
	drain: "warn",
	leaving: "warn",
	starting: "idle",
	disabled: "idle",
	down: "bad",
};

function realRow(service: DirectedServiceRecord, real: RealRecord): TopRow {
	const { name, address, state, share, rate, reason } = real;
	return {
		key: `real ${serviceKey(service)} ${address}`,
		state,
		tone: REAL_TONE[state],
		name,
		address,
		what: `${service.name} ${service.protocol}/${service.port}`,
		by: `${(100 * share).toFixed(1)}%`,
		rate: rate ?? null,
		reason,
	};
}

export const ORDERS = ["configured", "state", "name", "packets/s", "bit/s"] as const;
export type Order = (typeof ORDERS)[number];

const TONE_RANK: Readonly<Record<Tone, number>> = { bad: 0, warn: 1, idle: 2, good: 3 };

/** Rows that need attention first; names in natural order; the largest rate first; or `reversed`. Stable. */
export function sortRows(rows: readonly TopRow[], order: Order, reversed: boolean): readonly TopRow[] {
	const compare = COMPARE[order];
	const sorted = compare === undefined ? [...rows] : rows.toSorted(compare);
	return reversed ? sorted.reverse() : sorted;
}

type Compare = (a: TopRow, b: TopRow) => number;

const COMPARE: Readonly<Record<Order, Compare | undefined>> = {
	configured: undefined,
	state: (a, b) => TONE_RANK[a.tone] - TONE_RANK[b.tone],
	name: (a, b) => byNumbers(a.name, b.name),
	"packets/s": (a, b) => (b.rate?.packets ?? -1) - (a.rate?.packets ?? -1),
	"bit/s": (a, b) => (b.rate?.bytes ?? -1) - (a.rate?.bytes ?? -1),
};

/** `web-9` before `web-10`. */
function byNumbers(a: string, b: string): number {
	return a.localeCompare(b, "en", { numeric: true });
}

/** Rows that have every word of `filter` somewhere. */
export function filterRows(rows: readonly TopRow[], filter: string): readonly TopRow[] {
	const words = filter.toLowerCase().split(/\s+/);
	return rows.filter(({ state, name, address, what, by }) => {
		const text = `${state} ${name} ${address} ${what} ${by}`.toLowerCase();
		return words.every((word) => text.includes(word));
	});
}
