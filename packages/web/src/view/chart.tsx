/** Five minutes of a rate, with axes and a cursor (uPlot); the numbers are also available as text. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { clock, scaled } from "../state/format.ts";
import type { Rate, Timeline } from "../state/timeline.ts";
import { colour, font, onColours } from "./theme.ts";
import { useSize } from "./use-size.ts";

const UNITS: Readonly<Record<keyof Rate, string>> = { packets: "packets/s", bits: "bit/s" };

interface ChartProps {
	readonly timeline: Timeline;
	readonly name: string;
	readonly series: string;
	/** Without axes, for use beside figures. */
	readonly small?: boolean;
}

export function Chart({ timeline, name, series, small = false }: ChartProps): JSX.Element {
	const [unit, setUnit] = useState<keyof Rate>("packets");
	const [frame, { width, height }] = useSize<HTMLDivElement>();
	const plot = useRef<uPlot>(undefined);
	const [cursor, setCursor] = useState<number | null>(null);
	const [colours, setColours] = useState(0);
	useEffect(() => onColours(() => setColours((count) => count + 1)), []);

	const times = timeline.times();
	const values = timeline.values(series, unit);
	useEffect(() => {
		const element = frame.current;
		if (element === null || width === 0) return undefined;
		const options = optionsFor({ width, height, small, hovered: setCursor });
		const made = new uPlot(options, [times, values], element);
		plot.current = made;
		return () => {
			made.destroy();
			plot.current = undefined;
		};
	}, [width > 0, small, colours]);
	useEffect(() => plot.current?.setSize({ width, height }), [width, height]);
	useEffect(() => {
		plot.current?.setData([times, values]);
	});

	const known = values.filter((value) => value !== null);
	const at = cursor === null ? undefined : times[cursor];
	const text =
		known.length === 0
			? "no rate yet"
			: `now ${scaled(values.at(-1))}, least ${scaled(Math.min(...known))}, most ${scaled(Math.max(...known))} ${UNITS[unit]}`;
	const range =
		known.length === 0 ? "" : `${scaled(Math.min(...known))} to ${scaled(Math.max(...known))} ${UNITS[unit]}`;
	const shown =
		at === undefined || cursor === null
			? small
				? range
				: text
			: `${clock(at * 1000, Date.now())}: ${scaled(values[cursor])} ${UNITS[unit]}`;
	return (
		<figure class={small ? "chart small" : "chart"} aria-label={`${name}: ${text}`}>
			<figcaption>
				<span class="reading">{shown}</span>
				<span class="choice">
					{(["packets", "bits"] as const).map((one) => (
						<button type="button" key={one} aria-pressed={unit === one} onClick={() => setUnit(one)}>
							{UNITS[one]}
						</button>
					))}
				</span>
			</figcaption>
			<div class="plot" ref={frame} />
		</figure>
	);
}

interface PlotWish {
	readonly width: number;
	readonly height: number;
	readonly small: boolean;
	readonly hovered: (index: number | null) => void;
}

function optionsFor({ width, height, small, hovered }: PlotWish): uPlot.Options {
	const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
	const axis = {
		stroke: colour("--muted"),
		font: `${Math.round(rem * 0.75)}px ${font()}`,
		grid: { stroke: colour("--line"), width: 1 },
		ticks: { show: false },
	};
	const accent = colour("--accent");
	return {
		width,
		height,
		padding: small ? [2, 0, 2, 0] : [8, Math.round(rem * 1.6), 0, 0],
		legend: { show: false },
		cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
		scales: { y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.08 : 1] } },
		axes: small
			? [{ show: false }, { show: false }]
			: [
					{
						...axis,
						size: Math.round(rem * 1.6),
						space: rem * 5,
						values: (_plot, ticks) => ticks.map(minute),
					},
					{
						...axis,
						size: Math.round(rem * 3.4),
						space: rem * 2.2,
						values: (_plot, ticks) => ticks.map(scaled),
					},
				],
		series: [
			{},
			{
				stroke: accent,
				width: 1.75,
				fill: colour("--accent-soft"),
				points: { show: false },
			},
		],
		hooks: { setCursor: [({ cursor }) => hovered(cursor.idx ?? null)] },
	};
}

function minute(seconds: number): string {
	return clock(seconds * 1000, seconds * 1000);
}
