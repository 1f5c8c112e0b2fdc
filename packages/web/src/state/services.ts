/** The services of a host as rows of one list: those that it answers and those that it directs. Pure. */
import type { DirectedServiceRecord, ServiceRecord, StatusRecord } from "@l3dsr/records";
import { codesOf, conditionsText } from "./selection.ts";
import type { Rate } from "./timeline.ts";

/** `good` needs no attention; `bad` needs it first. */
export type Tone = "good" | "warn" | "bad" | "idle";

export interface Row {
	/** Stays the same from one record to the next, and in the timeline. */
	readonly key: string;
	readonly role: "real server" | "director";
	readonly name: string;
	readonly vip: string;
	readonly codes: readonly number[];
	/** Conditions besides the DSCP: `tcp 80,443`. */
	readonly takes: string;
	readonly state: string;
	readonly tone: Tone;
	readonly sign: string;
	readonly reason?: string;
	/** Datapaths of a real server's rules, or the pool of a directed service. */
	readonly by: string;
	readonly packets: number | null;
	readonly bytes: number | null;
}

interface Look {
	readonly tone: Tone;
	readonly sign: string;
}

const SERVICE_STATES: Readonly<Record<ServiceRecord["state"], Look>> = {
	up: { tone: "good", sign: "✓" },
	partial: { tone: "warn", sign: "◐" },
	down: { tone: "bad", sign: "✕" },
	stopped: { tone: "idle", sign: "■" },
	"not configured": { tone: "warn", sign: "?" },
};

const DIRECTED_STATES: Readonly<Record<DirectedServiceRecord["state"], Look & { readonly reason?: string }>> =
	{
		up: { tone: "good", sign: "✓" },
		floor: { tone: "warn", sign: "◐", reason: "so few real servers are healthy that all of them are used" },
		down: { tone: "bad", sign: "✕", reason: "no real server takes new flows" },
	};

const TONE_RANK: Readonly<Record<Tone, number>> = { bad: 0, warn: 1, idle: 2, good: 3 };

export const serviceKey = ({ name, vip, selects }: ServiceRecord): string => `${name} ${vip} ${selects}`;
export const directedKey = ({ vip, protocol, port }: DirectedServiceRecord): string =>
	`directed ${vip} ${protocol} ${port}`;

/** In the order of the configuration; the services that the host answers come first. */
export function rowsOf({ services, director }: StatusRecord): readonly Row[] {
	return [...services.map(serviceRow), ...(director?.services ?? []).map(directedRow)];
}

function serviceRow(service: ServiceRecord): Row {
	const { name, vip, selection, state, reason, datapaths, packets, bytes } = service;
	return {
		key: serviceKey(service),
		role: "real server",
		name,
		vip,
		codes: codesOf(selection),
		takes: selection.length === 0 ? service.selects : conditionsText(selection),
		state,
		...SERVICE_STATES[state],
		...(reason === undefined ? {} : { reason }),
		by: datapaths.join(", "),
		packets,
		bytes,
	};
}

function directedRow(service: DirectedServiceRecord): Row {
	const { name, vip, dscp, protocol, port, state, pool, packets, bytes } = service;
	return {
		key: directedKey(service),
		role: "director",
		name,
		vip,
		codes: [dscp],
		takes: `${protocol} ${port}`,
		state,
		...DIRECTED_STATES[state],
		by: pool,
		packets,
		bytes,
	};
}

export const ORDERS = ["configured", "state", "name", "vip", "packets", "bits"] as const;
export type Order = (typeof ORDERS)[number];

export interface Sorting {
	readonly order: Order;
	readonly descending: boolean;
}

/** Every word of `filter` must occur in the row; `dscp 7` selects that DSCP, `!up` all states but up. */
export function matchesFilter(row: Row, filter: string): boolean {
	const text = `${row.name} ${row.vip} ${row.takes} ${row.state} ${row.by}`.toLowerCase();
	const words = filter.toLowerCase().match(/dscp\s+\d+|\S+/g) ?? [];
	return words.every((word) => {
		const [, code] = /^dscp\s+(\d+)$/.exec(word) ?? [];
		if (code !== undefined) return row.codes.includes(Number(code));
		return word === "!up" ? row.state !== "up" : text.includes(word);
	});
}

/** A stable sort: equal rows stay in the order of the configuration. */
export function sorted(
	rows: readonly Row[],
	{ order, descending }: Sorting,
	rateOf: (key: string) => Rate | null,
): readonly Row[] {
	if (order === "configured") return descending ? rows.toReversed() : rows;
	const sign = descending ? -1 : 1;
	if (order === "name" || order === "vip") {
		const collator = new Intl.Collator("en", { numeric: true });
		return rows.toSorted((a, b) => sign * collator.compare(a[order], b[order]));
	}
	const weigh = (row: Row): number =>
		order === "state" ? TONE_RANK[row.tone] : (rateOf(row.key)?.[order] ?? -1);
	return rows
		.map((row) => ({ row, weight: weigh(row) }))
		.toSorted((a, b) => sign * (a.weight - b.weight))
		.map(({ row }) => row);
}

/** The number of rows of each tone. */
export function census(rows: readonly Row[]): Readonly<Record<Tone, number>> {
	const counts = { good: 0, warn: 0, bad: 0, idle: 0 };
	for (const { tone } of rows) counts[tone]++;
	return counts;
}
