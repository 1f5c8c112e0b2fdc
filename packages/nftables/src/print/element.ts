/** Verdicts, and the elements of sets, in nft's syntax. */
import { type DataType, integerType } from "../data-type.ts";
import type { AnonymousSet, SetElement, Verdict } from "../element.ts";
import { boundText, keyText, printable, valueText } from "./value.ts";

export function verdictText({ verdict, chain }: Verdict): string {
	return chain === undefined ? verdict : `${verdict} ${printable(chain)}`;
}

export function anonymousSetText({ key, data, elements }: AnonymousSet, shift: number): string {
	const type = data === undefined || data === "verdict" ? undefined : data;
	return `{ ${elements.map((one) => elementText(one, key, type, valueText, shift)).join(", ")} }`;
}

/** `80`, `8000-8010`, `0x4 counter packets 1 bytes 2 comment "x" : 192.0.2.1`. */
export function elementText(
	{ key, last, data, counter, comment }: SetElement,
	type: DataType,
	dataIs: DataType | undefined,
	keyTextOf: (key: Uint8Array, type: DataType, shift: number) => string = keyText,
	shift = 0,
): string {
	return [
		key === undefined
			? "*"
			: last === undefined
				? keyTextOf(key, type, shift)
				: `${boundText(key, type, shift)}-${boundText(last, type, shift)}`,
		...(counter === undefined ? [] : [`counter packets ${counter.packets} bytes ${counter.bytes}`]),
		...(comment === undefined ? [] : [`comment "${printable(comment)}"`]),
		...(data === undefined
			? []
			: [
					`: ${data instanceof Uint8Array ? valueText(data, dataIs ?? integerType(data.length)) : verdictText(data)}`,
				]),
	].join(" ");
}
