/** The last minute of a rate as a line without axes, next to the number. */
import type { JSX } from "preact";

const WIDTH = 96;
const HEIGHT = 24;
/** The number of moments drawn. */
export const SPAN = 60;

/** `values`: oldest first, null where there is none; the newest is at the right edge. */
export function Sparkline({ values }: { values: readonly (number | null)[] }): JSX.Element {
	const { line, area } = paths(values);
	return (
		<svg class="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
			<path class="area" d={area} />
			<path class="line" d={line} />
		</svg>
	);
}

function paths(values: readonly (number | null)[]): { readonly line: string; readonly area: string } {
	const most = Math.max(1e-9, ...values.map((value) => value ?? 0));
	const step = WIDTH / (SPAN - 1);
	const offset = SPAN - values.length;
	let line = "";
	let area = "";
	let begun: number | undefined;
	let x = 0;
	values.forEach((value, index) => {
		if (value === null) {
			if (begun !== undefined) area += `V${HEIGHT}H${begun}Z`;
			begun = undefined;
			return;
		}
		x = round((offset + index) * step);
		const y = round(HEIGHT - 1.5 - (value / most) * (HEIGHT - 4));
		line += `${begun === undefined ? "M" : "L"}${x} ${y}`;
		area += begun === undefined ? `M${x} ${HEIGHT}V${y}` : `L${x} ${y}`;
		begun ??= x;
	});
	if (begun !== undefined) area += `V${HEIGHT}H${begun}Z`;
	return { line, area };
}

function round(value: number): number {
	return Math.round(value * 10) / 10;
}
