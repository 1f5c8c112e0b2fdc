/** VPP's load balancer plugin. Syntax: src/plugins/lb/cli.c and lb_plugin_doc.rst of FD.io VPP. */
import { type Listener, listenersOf, type Printed, type VipTable } from "./vip-table.ts";

export function printVpp(table: VipTable): Printed {
	const { listeners, left } = listenersOf(table, {
		families: ["ipv4"],
		familyWhy: "VPP's encap l3dsr is for IPv4 only",
	});
	const lines = listeners.flatMap((listener) => {
		const place = placeOf(listener);
		return [
			`lb vip ${place} encap l3dsr dscp ${listener.dscp}`,
			`lb as ${place} ${listener.reals.map(({ text }) => text).join(" ")}`,
		];
	});
	return { text: lines.map((line) => `${line}\n`).join(""), left };
}

function placeOf({ vip, protocol, port }: Listener): string {
	return `${vip.text}/32${protocol === undefined ? "" : ` protocol ${protocol} port ${port}`}`;
}
