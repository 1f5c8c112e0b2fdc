// biome-ignore-all lint/a11y/useSemanticElements: a table cannot leave out the rows that are not in the window
// biome-ignore-all lint/a11y/useFocusableInteractive: rows take the focus, one at a time, and their cells do not
/** Every service of the host: a grid that draws only the visible rows. */
import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { dscpText, exact, NOTHING, scaled } from "../state/format.ts";
import { formatRoute } from "../state/route.ts";
import { matchesFilter, type Order, type Row, type Sorting, sorted } from "../state/services.ts";
import type { Timeline } from "../state/timeline.ts";
import { Sign } from "./sign.tsx";
import { SPAN, Sparkline } from "./sparkline.tsx";
import { useVisibleRows } from "./use-visible-rows.ts";

interface ServiceListProps {
	readonly rows: readonly Row[];
	readonly timeline: Timeline;
	/** Rates are old if the agent is silent. */
	readonly live: boolean;
	readonly open: string | undefined;
}

interface Column {
	readonly title: string;
	readonly order?: Order;
	readonly kind: string;
}

const COLUMNS: readonly Column[] = [
	{ title: "State", order: "state", kind: "state" },
	{ title: "Service", order: "name", kind: "name" },
	{ title: "VIP", order: "vip", kind: "vip" },
	{ title: "DSCP", kind: "dscp" },
	{ title: "Takes", kind: "takes" },
	{ title: "By", kind: "by" },
	{ title: "Packets/s", order: "packets", kind: "packets number" },
	{ title: "bit/s", order: "bits", kind: "bits number" },
	{ title: "Last minute", kind: "spark" },
];

/** Orders that start with the largest value. */
const DESCENDING_FIRST: ReadonlySet<Order> = new Set(["packets", "bits"]);

export function ServiceList({ rows, timeline, live, open }: ServiceListProps): JSX.Element {
	const [filter, setFilter] = useState("");
	const [sorting, setSorting] = useState<Sorting>({ order: "configured", descending: false });
	const shown = sorted(
		rows.filter((row) => matchesFilter(row, filter)),
		sorting,
		(key) => timeline.rate(key),
	);
	const { ref, rowHeight, first, end } = useVisibleRows<HTMLDivElement>(shown.length);
	const [active, setActive] = useState<string | undefined>(undefined);
	const wanted = useRef(false);
	// Keys may arrive faster than the page is drawn: each continues from the row that the last key reached.
	const latest = useRef<string | undefined>(undefined);
	latest.current = active ?? open;
	const indexOf = (wantedKey: string | undefined): number =>
		Math.max(
			0,
			shown.findIndex(({ key }) => key === wantedKey),
		);
	const at = indexOf(latest.current);

	// Before the next key is handled, which could lead elsewhere.
	useLayoutEffect(() => {
		if (!wanted.current) return;
		wanted.current = false;
		const row = ref.current?.querySelector<HTMLElement>(`[aria-rowindex="${at + 2}"]`);
		row?.focus({ preventScroll: true });
		row?.scrollIntoView({ block: "nearest" });
	}, [at, active]);

	const onKeyDown = (event: KeyboardEvent): void => {
		const page = Math.max(1, Math.floor(innerHeight / rowHeight) - 4);
		const from = indexOf(latest.current);
		const moves: Readonly<Record<string, number>> = {
			ArrowDown: from + 1,
			ArrowUp: from - 1,
			PageDown: from + page,
			PageUp: from - page,
			Home: 0,
			End: shown.length - 1,
		};
		const to = moves[event.key];
		const key = to === undefined ? undefined : shown[Math.min(Math.max(to, 0), shown.length - 1)]?.key;
		if (key !== undefined) {
			event.preventDefault();
			wanted.current = true;
			latest.current = key;
			setActive(key);
		} else if (event.key === "Enter" || event.key === " ") {
			const row = shown[from];
			if (row === undefined) return;
			event.preventDefault();
			location.hash = formatRoute({ place: "services", open: row.key });
		}
	};

	const sortBy = (order: Order): void => {
		const descends = DESCENDING_FIRST.has(order);
		if (sorting.order !== order) setSorting({ order, descending: descends });
		else if (sorting.descending === descends) setSorting({ order, descending: !descends });
		else setSorting({ order: "configured", descending: false });
	};

	// The focused row stays in the document, wherever the visible part is.
	const drawn = shown.slice(first, end).map((row, index) => ({ row, index: first + index }));
	const kept = shown[at];
	if (kept !== undefined && (at < first || at >= end)) drawn.push({ row: kept, index: at });

	return (
		<section class="services" aria-label="Services">
			<div class="bar">
				<input
					type="search"
					aria-label="Filter the services"
					placeholder="Filter: name, address, dscp 7, !up"
					value={filter}
					onInput={(event) => setFilter(event.currentTarget.value)}
				/>
				<span class="count" role="status">
					{filter.trim() === "" ? `${rows.length} in all` : `${shown.length} of ${rows.length}`}
				</span>
			</div>
			<div
				class="grid"
				role="grid"
				aria-label="Services"
				aria-rowcount={shown.length + 1}
				aria-colcount={COLUMNS.length}
				tabIndex={-1}
				onKeyDown={onKeyDown}
			>
				<div class="row head" role="row" aria-rowindex={1}>
					{COLUMNS.map((column) => (
						<Heading key={column.title} column={column} sorting={sorting} sortBy={sortBy} />
					))}
				</div>
				<div
					class="rows"
					ref={ref}
					role="rowgroup"
					{...{ style: { height: `${shown.length * rowHeight}px` } }}
				>
					{drawn.map(({ row, index }) => (
						<ServiceRow
							key={row.key}
							row={row}
							index={index}
							top={index * rowHeight}
							reachable={index === at}
							open={row.key === open}
							timeline={timeline}
							live={live}
							focused={() => setActive(row.key)}
						/>
					))}
				</div>
			</div>
			{shown.length > 0 ? null : (
				<p class="empty">
					{rows.length === 0 ? "This host has no services yet." : `No service has ${filter.trim()}.`}
				</p>
			)}
		</section>
	);
}

function Heading({
	column: { title, order, kind },
	sorting,
	sortBy,
}: {
	column: Column;
	sorting: Sorting;
	sortBy: (order: Order) => void;
}): JSX.Element {
	const sortedHere = order !== undefined && sorting.order === order;
	const direction = sorting.descending ? "descending" : "ascending";
	return (
		<div class={`cell ${kind}`} role="columnheader" aria-sort={sortedHere ? direction : "none"}>
			{order === undefined ? (
				title
			) : (
				<button type="button" onClick={() => sortBy(order)}>
					{title}
					<span aria-hidden="true" class="arrow">
						{sortedHere ? (sorting.descending ? "▾" : "▴") : ""}
					</span>
				</button>
			)}
		</div>
	);
}

interface ServiceRowProps {
	readonly row: Row;
	readonly index: number;
	readonly top: number;
	/** The Tab key reaches one row of the grid. */
	readonly reachable: boolean;
	readonly open: boolean;
	readonly timeline: Timeline;
	readonly live: boolean;
	readonly focused: () => void;
}

function ServiceRow(props: ServiceRowProps): JSX.Element {
	const { row, index, top, reachable, open, timeline, live, focused } = props;
	const rate = live ? timeline.rate(row.key) : null;
	return (
		// biome-ignore lint/a11y/useKeyWithClickEvents: the grid hears the keys of all its rows
		<div
			class={`row ${row.tone}`}
			role="row"
			aria-rowindex={index + 2}
			aria-selected={open}
			tabIndex={reachable ? 0 : -1}
			{...{ style: { transform: `translateY(${top}px)` } }}
			onFocus={focused}
			onClick={() => {
				location.hash = formatRoute({ place: "services", open: row.key });
			}}
		>
			<div class="cell state" role="gridcell">
				<Sign tone={row.tone} sign={row.sign} /> <span class="word">{row.state}</span>
			</div>
			<div class="cell name" role="gridcell">
				{row.name}
			</div>
			<div class="cell vip" role="gridcell">
				{row.vip}
			</div>
			<div class="cell dscp" role="gridcell" title={row.codes.map(dscpText).join(", ")}>
				{row.codes.join(", ") || NOTHING}
			</div>
			<div class="cell takes" role="gridcell" title={row.takes}>
				{row.takes || "all of the code"}
			</div>
			<div class="cell by" role="gridcell">
				{row.by || NOTHING}
			</div>
			<div class="cell packets number" role="gridcell" title={`${exact(row.packets)} packets in all`}>
				{scaled(rate?.packets)}
			</div>
			<div class="cell bits number" role="gridcell" title={`${exact(row.bytes)} bytes in all`}>
				{scaled(rate?.bits)}
			</div>
			<div class="cell spark" role="gridcell">
				<Sparkline values={timeline.values(row.key, "packets", SPAN)} />
			</div>
		</div>
	);
}
