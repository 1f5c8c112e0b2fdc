/** The conditions of a service besides its DSCP. Pure. */
import type { SelectionRecord } from "@l3dsr/records";

/** `tcp 80,443, on eth0`: without the DSCP, which has a column of its own. */
export function conditionsText(selection: readonly SelectionRecord[]): string {
	return selection.map((one) => conditions(one).join(", ")).join("; ");
}

/** The DSCPs of a service, each once. */
export function codesOf(selection: readonly SelectionRecord[]): readonly number[] {
	return [...new Set(selection.flatMap(({ dscp }) => (dscp === undefined ? [] : [dscp])))];
}

function conditions({ mark, interfaces, real, protocols, ports }: SelectionRecord): string[] {
	const hex = (value: number): string => `0x${value.toString(16)}`;
	const range = ({ first, last }: { readonly first: number; readonly last: number }): string =>
		first === last ? String(first) : `${first}-${last}`;
	const transport = `${(protocols ?? []).join("/")} ${(ports ?? []).map(range).join(",")}`.trim();
	return [
		...(mark === undefined
			? []
			: [`mark ${hex(mark.value)}${mark.mask === 0xffffffff ? "" : `/${hex(mark.mask)}`}`]),
		...(transport === "" ? [] : [transport]),
		...(interfaces === undefined ? [] : [`on ${interfaces.join(", ")}`]),
		...(real === undefined ? [] : [`to ${real}`]),
	];
}
