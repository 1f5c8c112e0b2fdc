/** Values of options and arguments, read the same way by every command. Each throws L3dsrError (USAGE). */
import {
	type Address,
	addressBits,
	type Dscp,
	dscp,
	type Prefix,
	parseAddress,
	prefixOf,
} from "@l3dsr/packet";
import { L3dsrError } from "../errors.ts";
import { readDscp } from "../syntax/config/read-value.ts";
import { parseDecimal, parseYamlNumber } from "../syntax/numbers.ts";

export function usage(message: string, hint?: string): L3dsrError {
	return new L3dsrError({ code: "USAGE", message, ...(hint === undefined ? {} : { hint }) });
}

/** `--dscp`: 0-63 or a class, with a hint where the value looks like a TOS byte. */
export function dscpOption(text: string): Dscp {
	const code = readDscp(text);
	if (code.ok) return dscp(code.value);
	throw usage(`--dscp: ${code.message}`, code.hint);
}

/** Decimal or hexadecimal (0x). */
export function wholeNumber(option: string, text: string, least: number, most: number): number {
	const number = parseYamlNumber(text) ?? parseDecimal(text);
	if (number !== undefined && number >= least && number <= most) return number;
	throw usage(`${option}: "${text}" is not a number from ${least} to ${most}`);
}

/** The longest time in seconds: Node's timers count milliseconds in 31 bits. */
const MAX_SECONDS = 1_000_000;

/** Seconds, with decimals or without. */
export function secondsOf(
	option: string,
	text: string,
	least: "0" | "more than 0",
	most = MAX_SECONDS,
): number {
	const seconds = /^[0-9]{0,9}\.?[0-9]{0,9}$/.test(text) && /[0-9]/.test(text) ? Number(text) : Number.NaN;
	if (seconds <= most && (least === "0" || seconds > 0)) return seconds;
	const range = least === "0" ? `0 to ${most}` : `more than 0 and at most ${most}`;
	throw usage(`${option}: "${text}" is not a number of seconds, expected ${range}`);
}

export function addressOption(option: string, text: string): Address {
	const address = parseAddress(text);
	if (address !== undefined) return address;
	throw usage(`${option}: "${text}" is not an IPv4 or IPv6 address`);
}

/** An address, or a prefix as ADDRESS/LENGTH. */
export function prefixOption(option: string, text: string): Prefix {
	const [first = "", length, ...more] = text.split("/");
	const address = parseAddress(first);
	const most = address === undefined ? 0 : addressBits(address.family);
	const bits = length === undefined ? most : parseDecimal(length);
	if (address !== undefined && bits !== undefined && bits <= most && more.length === 0)
		return prefixOf(address, bits);
	throw usage(`${option}: "${text}" is neither an address nor a prefix`);
}

/** Text with the C escapes `\r`, `\n`, `\t`, `\\` and `\xHH` as bytes; all other text is UTF-8. */
export function bytesOption(option: string, text: string): Uint8Array {
	const ESCAPES: Readonly<Record<string, string>> = { r: "0d", n: "0a", t: "09", "\\": "5c" };
	const parts = text.split(/(\\x[0-9a-fA-F]{2}|\\[^x]|\\x?)/);
	return Buffer.concat(
		parts.map((part) => {
			if (!part.startsWith("\\")) return Buffer.from(part, "utf8");
			const hex = part.length === 4 ? part.slice(2) : ESCAPES[part.slice(1)];
			if (hex !== undefined) return Buffer.from(hex, "hex");
			throw usage(`${option}: unknown escape ${part}`, "\\r, \\n, \\t, \\\\ and \\xHH");
		}),
	);
}
