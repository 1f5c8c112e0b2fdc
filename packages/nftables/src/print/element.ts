/** Verdicts, and the elements of sets, in nft's syntax. */

import { sameBytes } from "../bytes.ts";
import { type DataType, integerType, partsOf } from "../data-type.ts";
import type { AnonymousSet, SetElement, Verdict } from "../element.ts";
import { printable } from "../printable.ts";
import { wordless } from "./held.ts";
import { boundText, keyText, valueText, wildcardText } from "./value.ts";

export function verdictText({ verdict, chain }: Verdict): string {
	return chain === undefined ? verdict : `${verdict} ${printable(chain)}`;
}

export function anonymousSetText({ key, data, elements }: AnonymousSet, shift: number): string {
	const type = data === undefined || data === "verdict" ? undefined : data;
	return `{ ${elements.map((one) => elementText(one, key, type, valueText, shift)).join(", ")} }`;
}

/** `80`, `8000-8010`, `0x4 counter packets 1 bytes 2 comment "x" : 192.0.2.1`. */
export function elementText(
	{ key, last, data, object, counter, timeout, expires, comment, more }: SetElement,
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
				: rangeText(key, last, type, shift),
		...(timeout === undefined ? [] : [`timeout ${timeText(timeout)}`]),
		...(expires === undefined ? [] : [`expires ${timeText(expires)}`]),
		...(more === true ? [wordless("more")] : []),
		...(counter === undefined ? [] : [`counter packets ${counter.packets} bytes ${counter.bytes}`]),
		...(comment === undefined ? [] : [`comment "${printable(comment)}"`]),
		...(data === undefined
			? []
			: [
					`: ${data instanceof Uint8Array ? valueText(data, dataIs ?? integerType(data.length)) : verdictText(data)}`,
				]),
		...(object === undefined ? [] : [`: "${printable(object)}"`]),
	].join(" ");
}

/** Each part of a concatenation has a range of its own. */
function rangeText(first: Uint8Array, last: Uint8Array, type: DataType, shift: number): string {
	const ends = partsOf(last, type);
	const texts = partsOf(first, type).map(({ bytes: low, type: part }, index) => {
		const { bytes: high = low } = ends[index] ?? {};
		if (sameBytes(low, high)) return valueText(low, part, shift);
		const wildcard = wildcardText(low, high, part);
		return wildcard ?? `${boundText(low, part, shift)}-${boundText(high, part, shift)}`;
	});
	return texts.join(" . ");
}

/** Milliseconds in nft's units. */
export function timeText(milliseconds: bigint): string {
	const [seconds, rest] = [milliseconds / 1000n, milliseconds % 1000n];
	return `${seconds > 0n || rest === 0n ? `${seconds}s` : ""}${rest > 0n ? `${rest}ms` : ""}`;
}
