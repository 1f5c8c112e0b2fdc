/**
 * Brocade (Foundry) ServerIron ADX. Syntax: its "Server Load Balancing Guide", with Layer-3 DSR by `tos-marking`; its
 * health checks (`hc-l3-dsr`) are marked too. A virtual server has one code for all its ports.
 */
import { addressName, directorPrinter, type Listener, listenersByVip, withBangs } from "./director.ts";

const LIMITS = {
	families: ["ipv4"],
	familyWhy: "ADX documents tos-marking for IPv4 only",
	oneCodePerVip: true,
} as const;

export const printBrocadeAdx = directorPrinter(LIMITS, (listeners, reals) =>
	withBangs([
		...reals.map((real) => [
			`server real rs-${addressName(real)} ${real.text}`,
			...ports(listeners.filter((one) => one.reals.includes(real))).map((port) => ` port ${port}`),
		]),
		...listenersByVip(listeners).map(({ vip, own }) =>
			[
				`server virtual vip-${addressName(vip)} ${vip.text}`,
				` tos-marking ${own[0]?.dscp} hc-l3-dsr`,
				...ports(own).map((port) => ` port ${port}`),
				...own.flatMap((listener) =>
					listener.reals.map(
						(real) => ` bind ${portOf(listener)} rs-${addressName(real)} ${portOf(listener)}`,
					),
				),
			].filter((line, index, all) => all.indexOf(line) === index),
		),
	]),
);

function portOf({ port }: Listener): string {
	return port === undefined ? "default" : String(port);
}

function ports(listeners: readonly Listener[]): string[] {
	return [...new Set(listeners.map(portOf))];
}
