/** Describes in a few words what a service selects. */
import { formatDscp, type Prefix, prefixText } from "@l3dsr/packet";
import type { InterfaceName } from "../model/interface-name.ts";
import type { NumberRange } from "../model/rule.ts";
import type { Selection } from "../model/service.ts";
import { protocolName } from "./iptables/names.ts";

/** `DSCP 7 (TOS 0x1c), tcp 80,443, on eth0`; `the VIP itself` for L2DSR. */
export function selectionText(selection: Selection | undefined): string {
	if (selection === undefined) return "the VIP itself";
	const { dscp, mark, interfaces, real, protocols, ports } = selection;
	const hex = (value: number) => `0x${value.toString(16)}`;
	return [
		dscp === undefined ? [] : [`DSCP ${formatDscp(dscp)}`],
		mark === undefined
			? []
			: [`mark ${hex(mark.value)}${mark.mask === 0xffffffff ? "" : `/${hex(mark.mask)}`}`],
		protocols === undefined && ports === undefined
			? []
			: [
					[(protocols ?? []).map(protocolName).join("/"), (ports ?? []).map(portText).join(",")]
						.join(" ")
						.trim(),
				],
		interfaces === undefined ? [] : [`on ${interfaces.map(interfaceText).join(", ")}`],
		real === undefined ? [] : [`to ${shortPrefixText(real)}`],
	]
		.flat()
		.join(", ");
}

/** `eth0`; `eth+` for every name that begins with it. */
export function interfaceText({ name, wildcard }: InterfaceName): string {
	return wildcard ? `${name}+` : name;
}

/** `10.0.0.0/24`; a single address without its length. */
export function shortPrefixText(prefix: Prefix): string {
	const { address, length } = prefix;
	return length === address.bytes.length * 8 ? address.text : prefixText(prefix);
}

function portText({ first, last }: NumberRange): string {
	return first === last ? String(first) : `${first}-${last}`;
}
