/** What `top` shows of the latest look, and how keys change it. Pure. */
import type { StatusRecord } from "../../inspect/status/status.ts";
import type { Key } from "./keys.ts";
import { filterRows, ORDERS, type Order, rowsOf, sortRows, type TopRow, VIEWS, type View } from "./rows.ts";

export interface TopState {
	readonly view: View;
	readonly order: Order;
	readonly reversed: boolean;
	/** The first row that is shown, from 0. */
	readonly offset: number;
	readonly filter: string;
	/** Keys go into the filter. */
	readonly typing: boolean;
	readonly help: boolean;
	/** Key → its packets per second at the last updates, oldest first. */
	readonly trends: ReadonlyMap<string, readonly number[]>;
}

export const FIRST_STATE: TopState = {
	view: "services",
	order: "configured",
	reversed: false,
	offset: 0,
	filter: "",
	typing: false,
	help: false,
	trends: new Map(),
};

/** Number of updates in a trend. */
export const TREND = 16;

/** The rows to show; not all may fit. */
export function shownRows(
	record: StatusRecord,
	{ view, filter, order, reversed }: TopState,
): readonly TopRow[] {
	return sortRows(filterRows(rowsOf(record, view), filter), order, reversed);
}

/** The state after an update. Rows that no longer exist are dropped. */
export function afterLook(state: TopState, record: StatusRecord): TopState {
	const rows = VIEWS.flatMap((view) => rowsOf(record, view));
	const trends = new Map(
		rows.map(({ key, rate }) => [key, [...(state.trends.get(key) ?? []), rate?.packets ?? 0].slice(-TREND)]),
	);
	return { ...state, trends };
}

export interface Extent {
	/** The number of rows. */
	readonly rows: number;
	/** How many rows fit on the screen. */
	readonly page: number;
	/** The host is a director: it has real servers to show. */
	readonly directs: boolean;
}

/** The state after a key; `end` if the key ends the command. */
export function afterKey(state: TopState, key: Key, extent: Extent): TopState | "end" {
	if (key.kind === "interrupt") return "end";
	if (state.typing) return whileTyping(state, key);
	if (state.help) return key.kind === "text" && key.text === "q" ? "end" : { ...state, help: false };
	const moved = scrolled(state, key, extent);
	if (moved !== undefined) return { ...state, offset: within(moved, extent) };
	if (key.kind === "tab" && extent.directs) {
		return { ...state, view: state.view === "services" ? "real servers" : "services", offset: 0 };
	}
	if (key.kind === "escape") return { ...state, filter: "", offset: 0 };
	return key.kind === "text" ? afterLetter(state, key.text) : state;
}

function afterLetter(state: TopState, letter: string): TopState | "end" {
	switch (letter) {
		case "q":
		case "Q":
			return "end";
		case "s":
			return { ...state, order: afterOrder(state.order), reversed: false, offset: 0 };
		case "r":
			return { ...state, reversed: !state.reversed, offset: 0 };
		case "/":
			return { ...state, typing: true };
		case "h":
		case "?":
			return { ...state, help: true };
		default:
			return state;
	}
}

function afterOrder(order: Order): Order {
	return ORDERS[(ORDERS.indexOf(order) + 1) % ORDERS.length] ?? "configured";
}

function whileTyping(state: TopState, key: Key): TopState {
	switch (key.kind) {
		case "text":
			return { ...state, filter: state.filter + key.text, offset: 0 };
		case "backspace":
			return { ...state, filter: [...state.filter].slice(0, -1).join(""), offset: 0 };
		case "enter":
			return { ...state, typing: false };
		case "escape":
			return { ...state, typing: false, filter: "", offset: 0 };
		default:
			return state;
	}
}

function scrolled({ offset }: TopState, key: Key, { rows, page }: Extent): number | undefined {
	switch (key.kind) {
		case "up":
			return offset - 1;
		case "down":
			return offset + 1;
		case "page-up":
			return offset - page;
		case "page-down":
			return offset + page;
		case "home":
			return 0;
		case "end":
			return rows;
		case "text":
			return { k: offset - 1, j: offset + 1, b: offset - page, " ": offset + page, g: 0, G: rows }[key.text];
		default:
			return undefined;
	}
}

/** Limits the offset, so that the last page is full. */
export function within(offset: number, { rows, page }: Pick<Extent, "rows" | "page">): number {
	return Math.max(0, Math.min(offset, rows - page));
}
