/** Rates as two cells of a table: packets and bits per second. */
import type { Rate } from "../../inspect/status/service-rows.ts";

export function rateCells(rate: Rate | null | undefined): string[] {
	if (rate === null || rate === undefined) return ["--", "--"];
	return [scaled(rate.packets), scaled(rate.bytes * 8)];
}

/** Three significant digits and a unit: `12.3k`, as on the agent's page (packages/web/src/state/format.ts). */
function scaled(value: number): string {
	const units = ["", "k", "M", "G", "T", "P"];
	let scale = 0;
	let number = value;
	while (number >= 999.5 && scale < units.length - 1) {
		number /= 1000;
		scale++;
	}
	const digits = scale === 0 || number >= 100 ? 0 : number >= 10 ? 1 : 2;
	return `${number.toFixed(digits)}${units[scale]}`;
}
