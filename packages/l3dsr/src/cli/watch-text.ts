/** A sighting as a record (JSON) and as a line of text. */
import { formatDscp } from "@l3dsr/packet";
import type { Forwarding, Rewriting, Sighting } from "../inspect/watch/sighting.ts";
import { signatureOf } from "../model/lower-service.ts";
import { protocolName } from "../syntax/iptables/names.ts";
import { formatRuleSpec } from "../syntax/iptables/rule-format.ts";
import type { Style } from "./style.ts";

/** The common part of a rewritten and a forwarded packet. */
function headOf({ timeMs, client, vip, dscp, protocol, ports, real, interface: name }: Sighting) {
	return {
		time: new Date(timeMs).toISOString(),
		client: client.text,
		clientPort: ports?.client ?? null,
		vip: vip.text,
		/** The packet's original destination port. */
		port: ports?.destination ?? null,
		protocol: protocol === undefined ? null : protocolName(protocol),
		dscp,
		real: real.text,
		interface: name,
	};
}

export function rewritingRecord(sighting: Rewriting) {
	const { datapath, bytes, rule } = sighting;
	return {
		...headOf(sighting),
		datapath,
		bytes,
		/** The service, for rules of `l3dsr up`; null for any other rule. */
		service: signatureOf(rule) ?? null,
		family: rule.family,
		table: rule.table,
		/** As iptables-daddr -S prints it. */
		rule: `-A ${rule.chain} ${formatRuleSpec(rule)}`,
	};
}

export function forwardingRecord(sighting: Forwarding) {
	return { ...headOf(sighting), bytes: sighting.bytes, way: sighting.way };
}

/** `13:05:07.123 203.0.113.9:51234 > 198.51.100.7:80 tcp dscp 7 (TOS 0x1c) real 10.0.0.5 eth0 ebpf web`. */
export function sightingText(sighting: Sighting, style: Style): string {
	const { client, vip, real, dscp, protocol, ports, interface: name } = sighting;
	return `${[
		style.dim(timeText(new Date(sighting.timeMs))),
		`${endpoint(client.text, ports?.client)} > ${style.bold(endpoint(vip.text, ports?.destination))}`,
		protocol === undefined ? "-" : protocolName(protocol),
		`DSCP ${formatDscp(dscp)}`,
		`real ${real.text}`,
		name,
		...(sighting.by === "rule" ? ruleText(sighting) : ["director", wayText(sighting)]),
	].join("  ")}\n`;
}

function ruleText({ datapath, rule }: Rewriting): readonly string[] {
	const service = signatureOf(rule);
	return [
		datapath,
		service === undefined ? `${rule.table}: -A ${rule.chain} ${formatRuleSpec(rule)}` : `service ${service}`,
	];
}

function wayText({ way, interface: name }: Forwarding): string {
	switch (way) {
		case "back":
			return `out of ${name}`;
		case "redirect":
			return "out of another interface";
		case "kernel":
			return "routed by the kernel";
	}
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
