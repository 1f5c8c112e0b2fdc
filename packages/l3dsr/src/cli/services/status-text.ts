/** The record of `status` as text. */

import type { Rate } from "../../inspect/status/service-rows.ts";
import type { StatusRecord } from "../../inspect/status/status.ts";
import type { Style } from "../style.ts";
import { formatTable } from "../table.ts";
import { stoppedText } from "./stopped-services.ts";

export function statusText(record: StatusRecord, style: Style, watching: boolean): string {
	const { services, drift, otherRules, datapath } = record;
	const header = ["service", "type", "vip", "selects", "loopback", "state"];
	const counters = watching ? ["packets/s", "bit/s"] : ["packets", "bytes"];
	const rows = services.map((row) => [
		row.name,
		row.type,
		row.vip,
		row.selects,
		row.loopback ?? "--",
		row.state,
		...(watching ? rateCells(row.rate) : [cell(row.packets), cell(row.bytes)]),
	]);
	const right = [header.length, header.length + 1];
	const table =
		services.length === 0
			? "no services\n"
			: formatTable([...header, ...counters], rows, { right, header: style.bold });
	const lines = [
		`datapath: ${datapath.running.join(", ") || "none"} (${datapath.why})`,
		...(datapath.tcChecksum?.by === "helper"
			? [`checksums at tc are written by the kernel's helper, which is slower: ${datapath.tcChecksum.why}`]
			: []),
		...(otherRules === 0
			? []
			: [
					`${otherRules} other DADDR rule${otherRules === 1 ? "" : "s"} (iptables-daddr -S, dsrctl -a status)`,
				]),
		...(record.configuration === null ? ["no configuration: services as the kernel has them"] : []),
		...services.flatMap(({ name, vip, reason }) =>
			reason === undefined ? [] : [stoppedText({ service: name, vip, reason }).trimEnd()],
		),
		...drift.map(({ object, problem }) => style.bad(`drift: ${object} ${problem}`)),
		...(record.refused === undefined
			? drift.length === 0
				? []
				: ["l3dsr diff says more, l3dsr up mends it"]
			: [style.bad(`l3dsr up will refuse to ${record.refused}`)]),
	];
	return `${table}${lines.map((line) => `${line}\n`).join("")}`;
}

function cell(value: bigint | null): string {
	return value === null ? "--" : String(value);
}

function rateCells(rate: Rate | null | undefined): string[] {
	if (rate === null || rate === undefined) return ["--", "--"];
	return [scaled(rate.packets), scaled(rate.bytes * 8)];
}

/** Three digits that matter, and a unit: `12.3k`. */
function scaled(value: number): string {
	const units = ["", "k", "M", "G", "T"];
	let scale = 0;
	let number = value;
	while (number >= 999.5 && scale < units.length - 1) {
		number /= 1000;
		scale++;
	}
	const digits = scale === 0 || number >= 100 ? 0 : number >= 10 ? 1 : 2;
	return `${number.toFixed(digits)}${units[scale]}`;
}
