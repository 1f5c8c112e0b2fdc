/**
 * Brocade (Foundry) ServerIron ADX. Syntax: its "Server Load Balancing Guide", Layer-3 DSR by `tos-marking`, whose
 * health checks (`hc-l3-dsr`) are marked too. A virtual server has one code for all its ports.
 */
import {
	addressName,
	type Listener,
	listenersOf,
	type Printed,
	realsInUse,
	type VipTable,
} from "./vip-table.ts";

export function printBrocadeAdx(table: VipTable): Printed {
	const { listeners, left } = listenersOf(table, {
		families: ["ipv4"],
		familyWhy: "ADX documents tos-marking for IPv4 only",
		oneCodePerVip: true,
	});
	const vips = new Map(listeners.map(({ vip }) => [vip.text, vip]));
	const blocks = [
		...realsInUse(listeners).map((real) => [
			`server real rs-${addressName(real)} ${real.text}`,
			...ports(listeners.filter(({ reals }) => reals.includes(real))).map((port) => ` port ${port}`),
		]),
		...[...vips.values()].map((vip) => {
			const own = listeners.filter((one) => one.vip.text === vip.text);
			return [
				`server virtual vip-${addressName(vip)} ${vip.text}`,
				` tos-marking ${own[0]?.dscp} hc-l3-dsr`,
				...ports(own).map((port) => ` port ${port}`),
				...own.flatMap((listener) =>
					listener.reals.map(
						(real) => ` bind ${portOf(listener)} rs-${addressName(real)} ${portOf(listener)}`,
					),
				),
			].filter((line, index, all) => all.indexOf(line) === index);
		}),
	];
	return { text: blocks.map((block) => `${block.join("\n")}\n!\n`).join(""), left };
}

function portOf({ port }: Listener): string {
	return port === undefined ? "default" : String(port);
}

function ports(listeners: readonly Listener[]): string[] {
	return [...new Set(listeners.map(portOf))];
}
