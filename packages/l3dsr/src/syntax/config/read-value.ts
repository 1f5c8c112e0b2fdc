/** Reads single values of l3dsr.yaml: from the text of a scalar to the value or its fault. */
import {
	type Address,
	addressBits,
	DSCP_CLASSES,
	type Dscp,
	dscpOfTos,
	type Family,
	isDscp,
	isPort,
	isUnspecified,
	MAX_PORT,
	type Port,
	PROTOCOL_NUMBER,
	type Prefix,
	parseAddress,
	prefixOf,
	tosOfDscp,
} from "@l3dsr/packet";
import type { ErrorCode } from "../../errors.ts";
import { type InterfaceName, isInterfaceName, isTooLongForRules } from "../../model/interface-name.ts";
import type { NumberRange } from "../../model/rule.ts";
import { parseYamlNumber } from "../numbers.ts";
import { didYouMean } from "../suggest.ts";

export type Reading<T> =
	| { readonly ok: true; readonly value: T }
	| { readonly ok: false; readonly code: ErrorCode; readonly message: string; readonly hint?: string };

/** IEEE 802.1Q: 0 is a priority tag, 4095 is reserved. */
export const MAX_VLAN = 4094;
/** Names appear in comments of rules, in tables and in metrics, so they are printable and have no blanks. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$/;

export function good<T>(value: T): Reading<T> {
	return { ok: true, value };
}

export function bad(message: string, hint?: string, code: ErrorCode = "CONFIG_BAD_VALUE"): Reading<never> {
	return { ok: false, code, message, ...(hint === undefined ? {} : { hint }) };
}

export function readDscp(text: string): Reading<Dscp> {
	const named = DSCP_CLASSES[text.toUpperCase()];
	if (named !== undefined) return good(named);
	// YAML reads 010 as ten; dsr.conf and iptables read it as eight.
	if (/^0[0-9]+$/.test(text)) {
		const decimal = Number(text);
		const octal = /^[0-7]+$/.test(text) ? ` or ${Number.parseInt(text, 8)} (octal)` : "";
		return bad(`DSCP ${text} begins with a zero and is ambiguous`, `write ${decimal} (decimal)${octal}`);
	}
	const number = parseYamlNumber(text);
	if (number === undefined && !/^-?[0-9]+(\.[0-9]+)?$/.test(text)) {
		const hint = didYouMean(text, Object.keys(DSCP_CLASSES));
		return bad(`"${text}" is not a DSCP, expected a number 0-63 or a class such as AF41`, hint);
	}
	if (number !== undefined && isDscp(number)) return good(number);
	const looksLikeTos = number !== undefined && number <= 255;
	return bad(
		`DSCP ${text} is out of range, expected 0-63`,
		looksLikeTos ? tosHint(text, number) : undefined,
		"CONFIG_DSCP_RANGE",
	);
}

function tosHint(text: string, tos: number): string {
	const code = dscpOfTos(tos);
	const hex = `0x${tos.toString(16).padStart(2, "0")}`;
	const spelled = text === hex ? hex : `${text} looks like a TOS byte (${hex})`;
	const ecn = tosOfDscp(code) === tos ? "" : " with ECN bits";
	return spelled === hex
		? `${hex} looks like a TOS byte${ecn}, which is DSCP ${code}`
		: `${spelled}${ecn}, which is DSCP ${code}`;
}

/** For values written with commas where a list is needed. */
function listHint(text: string): string | undefined {
	const parts = text.split(/[\s,]+/).filter((part) => part !== "");
	if (parts.length < 2 || text.length > 200 || !text.includes(",")) return undefined;
	return `write a list: [${parts.join(", ")}]`;
}

/** A VIP: one address that clients can connect to. */
export function readVip(text: string): Reading<Address> {
	const address = parseAddress(text);
	if (address === undefined) {
		const bare = text.includes("/") ? parseAddress(text.slice(0, text.indexOf("/"))) : undefined;
		return bad(
			`"${text}" is not an IPv4 or IPv6 address`,
			bare === undefined ? listHint(text) : `write ${bare.text}: a VIP has no prefix length`,
		);
	}
	const reserved = reservedKind(address);
	return reserved === undefined ? good(address) : bad(`${text} is ${reserved}, which cannot be a VIP`);
}

/** The kind of an address that clients or directors cannot send packets to, else undefined. */
export function reservedKind(address: Address): string | undefined {
	const { family, bytes, text } = address;
	const first = bytes[0] ?? 0;
	if (isUnspecified(address)) return "the unspecified address";
	if (family === "ipv4") {
		if (first === 0) return "an address of this network (0.0.0.0/8)";
		if (first === 127) return "a loopback address";
		if (first >= 224) return first < 240 ? "a multicast address" : "a reserved address";
		return undefined;
	}
	if (text === "::1") return "the loopback address";
	if (bytes.every((byte, index) => index >= 12 || byte === (index < 10 ? 0 : 0xff))) {
		return "an IPv4 address in IPv6 form (::ffff:0:0/96)";
	}
	if (first === 0xff) return "a multicast address";
	if (first === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80) return "a link-local address";
	return undefined;
}

/** An address, or ADDRESS/LENGTH, of the VIP's family. */
export function readReal(text: string, family: Family): Reading<Prefix> {
	const slash = text.indexOf("/");
	const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
	if (address === undefined) return bad(`"${text}" is not an address or a prefix`);
	if (address.family !== family) {
		return bad(`${text} is ${familyName(address.family)}, but the service's VIP is ${familyName(family)}`);
	}
	const length = slash < 0 ? addressBits(family) : parseYamlNumber(text.slice(slash + 1));
	if (length === undefined || length > addressBits(family)) {
		return bad(`"${text}" has no valid prefix length, expected 0-${addressBits(family)}`);
	}
	return good(prefixOf(address, length));
}

function familyName(family: Family): string {
	return family === "ipv4" ? "IPv4" : "IPv6";
}

/** VALUE or VALUE/MASK, unsigned, 32 bits each. A value with bits outside its mask would match nothing. */
export function readMark(text: string): Reading<{ value: number; mask: number }> {
	const [first = "", second, ...rest] = text.split("/");
	const value = parseYamlNumber(first);
	const mask = second === undefined ? 0xffffffff : parseYamlNumber(second);
	if (
		value === undefined ||
		mask === undefined ||
		rest.length > 0 ||
		value > 0xffffffff ||
		mask > 0xffffffff
	) {
		return bad(`"${text}" is not a packet mark, expected VALUE or VALUE/MASK of 32 bits each`);
	}
	if ((value & ~mask) !== 0) return bad(`mark ${text} has bits outside its mask, so no packet can match`);
	return good({ value, mask });
}

export function readInterface(text: string): Reading<InterfaceName> {
	const wildcard = text.endsWith("+");
	const name = wildcard ? text.slice(0, -1) : text;
	// A wildcard cannot match alternative names. A lone + means every interface.
	if (!isInterfaceName(text) || (wildcard && isTooLongForRules(name))) {
		return bad(
			`"${text}" is not an interface name, expected 1-15 bytes (of an alternative name up to 127) without blanks, "/" and ":"`,
		);
	}
	return good({ name, wildcard });
}

export function readProtocol(text: string): Reading<number> {
	const names = new Map<string, number>(Object.entries(PROTOCOL_NUMBER));
	const number = names.get(text) ?? parseYamlNumber(text);
	if (number !== undefined && number >= 1 && number <= 255) return good(number);
	return bad(
		`"${text}" is not an IP protocol, expected ${[...names.keys()].join(", ")} or 1-255`,
		listHint(text.replaceAll("/", ",")) ?? didYouMean(text, names.keys()),
	);
}

export function readPort(text: string): Reading<Port> {
	const port = parseYamlNumber(text);
	if (port === undefined || port < 1 || !isPort(port))
		return bad(`"${text}" is not a port, expected 1-${MAX_PORT}`);
	return good(port);
}

/** `80` or `8000-8099`. */
export function readPorts(text: string): Reading<NumberRange> {
	const [low = "", high, ...rest] = text.split("-");
	const first = readPort(low);
	const last = readPort(high ?? low);
	if (!first.ok || !last.ok || rest.length > 0) {
		const message = `"${text}" is not a port or a range of ports, expected 1-${MAX_PORT} or LOW-HIGH`;
		return bad(message, listHint(text));
	}
	if (first.value > last.value) return bad(`range ${text} is empty`, `write ${last.value}-${first.value}`);
	return good({ first: first.value, last: last.value });
}

export function readVlan(text: string): Reading<number> {
	const vlan = parseYamlNumber(text);
	if (vlan === undefined || vlan < 1 || vlan > MAX_VLAN)
		return bad(`"${text}" is not a VLAN, expected 1-${MAX_VLAN}`);
	return good(vlan);
}

/** `what`: the kind of object that the name is for. */
export function readName(text: string, what = "service"): Reading<string> {
	if (NAME_PATTERN.test(text)) return good(text);
	return bad(`"${text}" is not a ${what} name, expected up to 63 letters, digits, ".", "_", ":" or "-"`);
}
