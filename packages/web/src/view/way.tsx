/**
 * The way of a service's packets: from the client through the director to the real server, and directly back.
 */
import type { JSX } from "preact";
import type { Hop, Stop, Way as WayData } from "../state/way.ts";
import { type Size, useSize } from "./use-size.ts";

/** Below this many times the font size, the stops are one below the other. */
const WIDE_REM = 54;

export function Way({ way }: { way: WayData }): JSX.Element {
	const [frame, size] = useSize<HTMLDivElement>();
	const rem = size.width === 0 ? 16 : Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
	return (
		<div class="way" ref={frame}>
			{size.width === 0 ? null : size.width >= WIDE_REM * rem ? (
				<Across way={way} size={size} rem={rem} />
			) : (
				<Down way={way} size={size} rem={rem} />
			)}
		</div>
	);
}

/** The picture in words. */
function description({ toDirector, toReal, back, real }: WayData): string {
	return (
		`The client sends ${toDirector.address}, ${toDirector.code}. ` +
		`The director forwards ${toReal.address}, ${toReal.code}. ` +
		`The real server: ${real.lines.join(", ")}. ` +
		`The answer goes ${back.address}, bypassing the director.`
	);
}

interface PictureProps {
	readonly way: WayData;
	readonly size: Size;
	readonly rem: number;
}

function Picture({
	way,
	width,
	height,
	children,
}: {
	way: WayData;
	width: number;
	height: number;
	children: JSX.Element | readonly JSX.Element[];
}): JSX.Element {
	return (
		<svg
			width={width}
			height={height}
			viewBox={`0 0 ${width} ${height}`}
			role="img"
			aria-label={description(way)}
		>
			<defs>
				<marker
					id="tip"
					viewBox="0 0 10 10"
					refX="9"
					refY="5"
					markerWidth="7"
					markerHeight="7"
					orient="auto-start-reverse"
				>
					<path d="M1 1 9 5 1 9" class="tip" />
				</marker>
			</defs>
			{children}
		</svg>
	);
}

/** The stops one below the other, with the way back along the left edge. */
function Down({ way, size, rem }: PictureProps): JSX.Element {
	const { client, director, real, toDirector, toReal, back } = way;
	const margin = rem * 2.1;
	const width = size.width - margin - 1;
	const gap = rem * 3.5;
	const heightOf = (stop: Stop): number => rem * (2.1 + stop.lines.length * 1.25);
	const tops = [
		1,
		1 + heightOf(client) + gap,
		1 + heightOf(client) + gap + heightOf(director) + gap,
	] as const;
	const height = tops[2] + heightOf(real) + rem * 2.9;
	const arrow = (top: number, hop: Hop): JSX.Element => (
		<g>
			<path
				class={hop.broken === true ? "hop broken" : "hop"}
				d={`M${margin + rem * 1.6} ${top + 2}v${gap - 5}`}
			/>
			<text x={margin + rem * 2.6} y={top + gap / 2 - rem * 0.25} class="address">
				{hop.address}
			</text>
			<text x={margin + rem * 2.6} y={top + gap / 2 + rem * 0.95} class="code">
				{hop.code}
			</text>
		</g>
	);
	const edge = rem * 0.75;
	const [from, to] = [tops[2] + heightOf(real) / 2, tops[0] + heightOf(client) / 2];
	return (
		<Picture way={way} width={size.width} height={height}>
			<Box stop={client} x={margin} y={tops[0]} width={width} height={heightOf(client)} rem={rem} />
			{arrow(tops[0] + heightOf(client), toDirector)}
			<Box stop={director} x={margin} y={tops[1]} width={width} height={heightOf(director)} rem={rem} />
			{arrow(tops[1] + heightOf(director), toReal)}
			<Box stop={real} x={margin} y={tops[2]} width={width} height={heightOf(real)} rem={rem} />
			<path
				class={back.broken === true ? "hop back broken" : "hop back"}
				d={`M${margin - 2} ${from}H${edge + 8}Q${edge} ${from} ${edge} ${from - 8}V${to + 8}Q${edge} ${to} ${edge + 8} ${to}H${margin - 4}`}
			/>
			<text x={edge} y={height - rem * 1.6} class="address">
				{back.address}
			</text>
			<text x={edge} y={height - rem * 0.5} class="code">
				{back.code}
			</text>
		</Picture>
	);
}

/** The stops side by side, with the way back below. */
function Across({ way, size, rem }: PictureProps): JSX.Element {
	const { client, director, real, toDirector, toReal, back } = way;
	const most = Math.max(client.lines.length, director.lines.length, real.lines.length);
	const boxHeight = rem * (2.1 + most * 1.25);
	const boxWidth = Math.min(rem * 17, size.width * 0.24);
	const gap = (size.width - 2 - boxWidth * 3) / 2;
	const lefts = [1, 1 + boxWidth + gap, 1 + (boxWidth + gap) * 2] as const;
	const below = 1 + boxHeight + rem * 2.4;
	const height = below + rem * 1.1;
	const arrow = (left: number, hop: Hop): JSX.Element => (
		<g>
			<path
				class={hop.broken === true ? "hop broken" : "hop"}
				d={`M${left + 3} ${1 + boxHeight / 2}h${gap - 7}`}
			/>
			<text x={left + gap / 2} y={1 + boxHeight / 2 - rem * 0.6} class="address middle">
				{hop.address}
			</text>
			<text x={left + gap / 2} y={1 + boxHeight / 2 + rem * 1.3} class="code middle">
				{hop.code}
			</text>
		</g>
	);
	const [from, to] = [lefts[2] + boxWidth / 2, lefts[0] + boxWidth / 2];
	const floor = 1 + boxHeight;
	return (
		<Picture way={way} width={size.width} height={height}>
			<Box stop={client} x={lefts[0]} y={1} width={boxWidth} height={boxHeight} rem={rem} />
			{arrow(lefts[0] + boxWidth, toDirector)}
			<Box stop={director} x={lefts[1]} y={1} width={boxWidth} height={boxHeight} rem={rem} />
			{arrow(lefts[1] + boxWidth, toReal)}
			<Box stop={real} x={lefts[2]} y={1} width={boxWidth} height={boxHeight} rem={rem} />
			<path
				class={back.broken === true ? "hop back broken" : "hop back"}
				d={`M${from} ${floor + 3}V${below - 8}Q${from} ${below} ${from - 8} ${below}H${to + 8}Q${to} ${below} ${to} ${below - 8}V${floor + 4}`}
			/>
			<text x={size.width / 2} y={below - rem * 0.5} class="address middle">
				{back.address}
				<tspan class="code">, {back.code}</tspan>
			</text>
		</Picture>
	);
}

function Box({
	stop,
	x,
	y,
	width,
	height,
	rem,
}: {
	stop: Stop;
	x: number;
	y: number;
	width: number;
	height: number;
	rem: number;
}): JSX.Element {
	const { title, lines, here = false, tone } = stop;
	return (
		<g class={`stop${here ? " here" : ""}${tone === undefined ? "" : ` ${tone}`}`}>
			<rect x={x} y={y} width={width} height={height} rx={rem * 0.4} />
			<text x={x + rem * 0.75} y={y + rem * 1.35} class="title">
				{title}
			</text>
			{lines.map((line, index) => (
				<text key={line} x={x + rem * 0.75} y={y + rem * (2.6 + index * 1.25)} class="line">
					{line}
				</text>
			))}
		</g>
	);
}
