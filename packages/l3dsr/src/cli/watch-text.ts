/** A sighting as a record (JSON) and as a line of text. */
import { formatDscp } from "@l3dsr/packet";
import type { Sighting } from "../inspect/watch/sighting.ts";
import { signatureOf } from "../model/lower-service.ts";
import { protocolName } from "../syntax/iptables/names.ts";
import { formatRuleSpec } from "../syntax/iptables/rule-format.ts";
import type { Style } from "./style.ts";

export function recordOf(sighting: Sighting) {
	const {
		timeMs,
		client,
		real,
		vip,
		dscp,
		protocol,
		ports,
		interface: name,
		datapath,
		bytes,
		rule,
	} = sighting;
	return {
		time: new Date(timeMs).toISOString(),
		client: client.text,
		clientPort: ports?.client ?? null,
		vip: vip.text,
		/** The destination port that the packet came with. */
		port: ports?.destination ?? null,
		protocol: protocol === undefined ? null : protocolName(protocol),
		dscp,
		real: real.text,
		interface: name,
		datapath,
		bytes,
		/** Of `l3dsr up`; null for a rule by other hands. */
		service: signatureOf(rule) ?? null,
		family: rule.family,
		table: rule.table,
		/** As iptables-daddr -S prints it. */
		rule: `-A ${rule.chain} ${formatRuleSpec(rule)}`,
	};
}

/** `13:05:07.123 203.0.113.9:51234 > 198.51.100.7:80 tcp dscp 7 (TOS 0x1c) real 10.0.0.5 eth0 ebpf web`. */
export function sightingText(sighting: Sighting, style: Style): string {
	const { client, vip, real, dscp, protocol, ports, interface: name, datapath, rule } = sighting;
	const service = signatureOf(rule);
	return `${[
		style.dim(timeText(new Date(sighting.timeMs))),
		`${endpoint(client.text, ports?.client)} > ${style.bold(endpoint(vip.text, ports?.destination))}`,
		protocol === undefined ? "-" : protocolName(protocol),
		`DSCP ${formatDscp(dscp)}`,
		`real ${real.text}`,
		name,
		datapath,
		service === undefined ? `${rule.table}: -A ${rule.chain} ${formatRuleSpec(rule)}` : `service ${service}`,
	].join("  ")}\n`;
}

function endpoint(address: string, port: number | undefined): string {
	if (port === undefined) return address;
	return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Local time of day with milliseconds. */
function timeText(date: Date): string {
	const two = (value: number) => String(value).padStart(2, "0");
	const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
	return `${time}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
