/** /etc/dsr.d/*.conf, one VIP per line. */
import type { Service } from "../../model/service.ts";
import type { LeftOut, Printed, VipTable } from "./vip-table.ts";

export function printDsrConf({ configuration }: VipTable): Printed {
	const left: LeftOut[] = [];
	const lines = configuration.services.flatMap((service) => {
		const why = whyNot(service);
		if (why !== undefined) {
			left.push({ what: service.name, why });
			return [];
		}
		const { vip, name, selection } = service;
		const comment = name === vip.text ? "" : ` # ${name}`;
		return [`${vip.text}${selection?.dscp === undefined ? "" : `=${selection.dscp}`}${comment}`];
	});
	return { text: lines.map((line) => `${line}\n`).join(""), left };
}

function whyNot({ vip, selection, setPort, clearDscp }: Service): string | undefined {
	if (vip.text.includes(":") && vip.text.includes("."))
		return "its VIP is written with embedded IPv4, which dsr.conf does not accept";
	if (setPort !== undefined || clearDscp) return "dsr.conf has neither set-port nor clear-dscp";
	if (selection === undefined) return undefined;
	const { dscp, ...others } = selection;
	const [other] = Object.keys(others);
	if (other !== undefined) return `dsr.conf cannot express ${other}`;
	return dscp === undefined ? "it has no DSCP" : undefined;
}
