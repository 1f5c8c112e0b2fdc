/** The VIPs on lo, as input for `ip -batch`. Other formats contain the rewriting: nft, iptables-save. */
import type { Address } from "@l3dsr/packet";
import type { Printed, VipTable } from "./vip-table.ts";

export function printIproute2({ configuration, rules }: VipTable): Printed {
	const vips = new Map<string, Address>();
	for (const { vip } of configuration.services) vips.set(vip.text, vip);
	for (const { target } of rules) vips.set(target.daddr.text, target.daddr);
	let label = 0;
	const lines = [...vips.values()].map((vip) =>
		vip.family === "ipv4"
			? `address replace ${vip.text}/32 dev lo label lo:${++label}`
			: `address replace ${vip.text}/128 dev lo`,
	);
	return { text: ["# ip -batch FILE", ...lines].map((line) => `${line}\n`).join(""), left: [] };
}
