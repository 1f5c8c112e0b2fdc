/** What a service selects, in a few words. */
import { formatDscp } from "@l3dsr/packet";
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
		interfaces === undefined
			? []
			: [`on ${interfaces.map(({ name, wildcard }) => (wildcard ? `${name}+` : name)).join(", ")}`],
		real === undefined ? [] : [`to ${real.address.text}${isHost(real) ? "" : `/${real.length}`}`],
	]
		.flat()
		.join(", ");
}

function isHost({ address, length }: NonNullable<Selection["real"]>): boolean {
	return length === address.bytes.length * 8;
}

function portText({ first, last }: NumberRange): string {
	return first === last ? String(first) : `${first}-${last}`;
}
