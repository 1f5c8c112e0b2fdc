/** VPP's load balancer plugin. Syntax: src/plugins/lb/cli.c and lb_plugin_doc.rst of FD.io VPP. */
import { directorPrinter, type Listener } from "./director.ts";

const LIMITS = { families: ["ipv4"], familyWhy: "VPP's encap l3dsr is for IPv4 only" } as const;

export const printVpp = directorPrinter(LIMITS, (listeners) =>
	listeners.flatMap((listener) => {
		const place = placeOf(listener);
		return [
			`lb vip ${place} encap l3dsr dscp ${listener.dscp}`,
			`lb as ${place} ${listener.reals.map(({ text }) => text).join(" ")}`,
		];
	}),
);

function placeOf({ vip, protocol, port }: Listener): string {
	return `${vip.text}/32${protocol === undefined ? "" : ` protocol ${protocol} port ${port}`}`;
}
