/** The options of ip_tables' header (`-s -d -i -o -p -f`): how to read each, and to print it in -S. */
import {
	type Address,
	addressBits,
	type Family,
	maskBytes,
	type Prefix,
	parseIpv4,
	parseIpv6,
	prefixOf,
	prefixText,
} from "@l3dsr/packet";
import { isTooLongForRules } from "../../model/interface-name.ts";
import type { Chain, InterfaceMatch, RuleHeader } from "../../model/rule.ts";
import { LIMITS } from "../limits.ts";
import type { Problems } from "../problems.ts";
import { didYouMean } from "../suggest.ts";
import { PROTOCOL_NAMES, protocolName, protocolNumber } from "./names.ts";
import { type Given, type OptionSpec, optionName } from "./option.ts";
import { tailOf, type Word } from "./words.ts";

type HeaderKey = keyof RuleHeader;

/** In the order in which iptables-save prints them. */
export const HEADER_OPTIONS: Readonly<Record<HeaderKey, OptionSpec>> = {
	source: {
		long: ["source", "src"],
		short: "s",
		argument: "address[/mask][,...]",
		negatable: true,
		help: "source address or prefix",
	},
	destination: {
		long: ["destination", "dst"],
		short: "d",
		argument: "address[/mask][,...]",
		negatable: true,
		help: "destination address or prefix",
	},
	inInterface: {
		long: ["in-interface"],
		short: "i",
		argument: "name[+]",
		negatable: true,
		help: "interface on which the packet arrived ([+] for wildcard)",
	},
	outInterface: {
		long: ["out-interface"],
		short: "o",
		argument: "name[+]",
		negatable: true,
		help: "interface that the packet leaves by ([+] for wildcard)",
	},
	protocol: {
		long: ["protocol", "proto"],
		short: "p",
		argument: "proto",
		negatable: true,
		help: "protocol: by number or name, e.g. tcp",
	},
	fragment: {
		long: ["fragment", "fragments"],
		short: "f",
		negatable: true,
		help: "second and further fragments only (IPv4)",
	},
};

/** Chains before routing have no -o, and chains after it no -i. */
const NO_INTERFACE: Readonly<Record<Chain, HeaderKey | undefined>> = {
	PREROUTING: "outInterface",
	INPUT: "outInterface",
	FORWARD: undefined,
	OUTPUT: "inInterface",
	POSTROUTING: "inInterface",
};

/**
 * The headers of the given options: several if `-s` or `-d` list several addresses. Canonical: conditions that match
 * everything (`-s 0/0`, `-p all`, `-i +`) are left out.
 */
export function parseHeaders(
	given: ReadonlyMap<HeaderKey, Given>,
	family: Family,
	chain: Chain | undefined,
	problems: Problems,
): RuleHeader[] {
	const once: { -readonly [K in HeaderKey]?: RuleHeader[K] } = {};
	const sources = parsePrefixes(given.get("source"), family, problems);
	const destinations = parsePrefixes(given.get("destination"), family, problems);
	for (const key of ["inInterface", "outInterface"] as const) {
		const found = given.get(key);
		if (found === undefined) continue;
		if (chain !== undefined && NO_INTERFACE[chain] === key) {
			const message = `Can't use ${optionName(found.option)} with ${chain}`;
			problems.add("RULE_CONFLICT", message, found.at.position);
			continue;
		}
		const match = parseInterface(found, problems);
		if (match !== undefined) once[key] = match;
	}
	const protocol = given.get("protocol");
	if (protocol?.value !== undefined) {
		const number = protocolNumber(protocol.value.text);
		if (number === undefined) {
			const name = protocol.value.text;
			const hint = didYouMean(name, PROTOCOL_NAMES);
			problems.add("RULE_BAD_VALUE", `unknown protocol "${name}" specified`, protocol.value.position, hint);
		} else if (number === 0) {
			if (protocol.negated) {
				problems.add("RULE_CONFLICT", "rule would never match protocol", protocol.value.position);
			}
		} else {
			once.protocol = { number, negated: protocol.negated };
		}
	}
	const fragment = given.get("fragment");
	if (fragment !== undefined) {
		if (family === "ipv6") {
			problems.add(
				"RULE_UNSUPPORTED",
				"-f is not supported in IPv6",
				fragment.at.position,
				"a later fragment has no ports: a rule that matches ports never sees it",
			);
		}
		once.fragment = { negated: fragment.negated };
	}
	const count = sources.length * destinations.length;
	if (count > LIMITS.rulesOfCommand) {
		const lists = [given.get("source"), given.get("destination")].flatMap((one) => one?.value ?? []);
		const message = `the addresses make ${count} rules, the limit of one command is ${LIMITS.rulesOfCommand}`;
		problems.add("RULE_BAD_VALUE", message, lists.at(-1)?.position, "write prefixes, or several commands");
		return [];
	}
	return sources.flatMap((source) =>
		destinations.map((destination) => ({
			...(source === undefined ? {} : { source }),
			...(destination === undefined ? {} : { destination }),
			...once,
		})),
	);
}

type PrefixMatch = NonNullable<RuleHeader["source"]>;

function parsePrefixes(
	given: Given | undefined,
	family: Family,
	problems: Problems,
): (PrefixMatch | undefined)[] {
	if (given?.value === undefined) return [undefined];
	const { value, negated } = given;
	const parts = value.text.includes(",") ? partsOf(value) : [value];
	if (negated && parts.length > 1) {
		problems.add(
			"RULE_CONFLICT",
			"! not allowed with multiple source or destination IP addresses",
			value.position,
		);
	}
	const matches: (PrefixMatch | undefined)[] = [];
	for (const part of parts) {
		const prefix = parsePrefix(part, family, problems);
		if (prefix === undefined) continue;
		if (prefix.length === 0 && negated) {
			problems.add("RULE_CONFLICT", "rule would never match: every address is inverted", part.position);
		}
		matches.push(prefix.length === 0 ? undefined : { prefix, negated });
	}
	return matches;
}

/** The parts of a list, between commas. */
function partsOf(list: Word): Word[] {
	const parts: Word[] = [];
	for (let start = 0; ; ) {
		const comma = list.text.indexOf(",", start);
		const tail = tailOf(list, start);
		const text = comma < 0 ? tail.text : tail.text.slice(0, comma - start);
		const length = list.verbatim ? Math.max(1, text.length) : tail.position.length;
		parts.push({ ...tail, text, position: { ...tail.position, length } });
		if (comma < 0) return parts;
		start = comma + 1;
	}
}

/** `address`, `address/length`, `address/netmask`; for IPv4 also `10/8`, which iptables pads. */
function parsePrefix(word: Word, family: Family, problems: Problems): Prefix | undefined {
	const slash = word.text.indexOf("/");
	const host = slash < 0 ? word.text : word.text.slice(0, slash);
	const parse = family === "ipv4" ? parseIpv4 : parseIpv6;
	let address = parse(host);
	if (address === undefined && family === "ipv4" && slash > 0 && /^\d+(\.\d+){0,2}$/.test(host)) {
		address = parse(`${host}${".0".repeat(4 - host.split(".").length)}`);
	}
	if (address === undefined) {
		problems.add(
			"RULE_BAD_VALUE",
			`host/network \`${host}' not found`,
			{ ...word.position, length: word.verbatim ? Math.max(1, host.length) : word.position.length },
			hostHint(host, family),
		);
		return undefined;
	}
	if (slash < 0) return prefixOf(address, addressBits(family));
	const mask = word.text.slice(slash + 1);
	const length = parseMask(mask, family);
	if (length === undefined) {
		problems.add(
			"RULE_BAD_VALUE",
			`invalid mask \`${mask}' specified`,
			tailOf(word, slash + 1).position,
			maskHint(mask, parse),
		);
		return undefined;
	}
	return prefixOf(address, length);
}

function hostHint(host: string, family: Family): string {
	if (family === "ipv4" && parseIpv6(host) !== undefined)
		return "this is an IPv6 address: use ip6tables-daddr";
	if (family === "ipv6" && parseIpv4(host) !== undefined)
		return "this is an IPv4 address: use iptables-daddr";
	if (/^[\d.]+$/.test(host)) return "an IPv4 address is four decimal numbers of 0-255 without leading zeros";
	return "host names are not looked up: write the address";
}

/** The length in bits of a prefix length or netmask; undefined if it is neither, or its ones are not contiguous. */
function parseMask(text: string, family: Family): number | undefined {
	if (/^\d{1,3}$/.test(text)) {
		const length = Number(text);
		return length <= addressBits(family) ? length : undefined;
	}
	const mask = family === "ipv4" ? parseIpv4(text) : parseIpv6(text);
	if (mask === undefined) return undefined;
	const length = mask.bytes.reduce((bits, byte) => bits + byte.toString(2).replaceAll("0", "").length, 0);
	return maskBytes(family, length).every((byte, index) => byte === mask.bytes[index]) ? length : undefined;
}

function maskHint(text: string, parse: (text: string) => Address | undefined): string | undefined {
	return parse(text) === undefined
		? undefined
		: "a mask with holes is not supported: write one rule per prefix";
}

function parseInterface(given: Given, problems: Problems): InterfaceMatch | undefined {
	const word = given.value;
	if (word === undefined) return undefined;
	const { text } = word;
	const bad = (message: string, hint?: string): undefined =>
		problems.add("RULE_BAD_VALUE", message, word.position, hint);
	if (text === "") return bad("Empty interface is likely to be undesired");
	if (isTooLongForRules(text)) return bad(`interface name \`${text}' must be shorter than IFNAMSIZ (15)`);
	if (/[\s/"'\\!]|[^\x21-\x7e]/.test(text)) return bad(`interface name \`${text}' has an invalid character`);
	if (text === "+") {
		if (given.negated) return bad("rule would never match: every interface is inverted");
		return undefined;
	}
	const wildcard = text.endsWith("+");
	return { name: wildcard ? text.slice(0, -1) : text, wildcard, negated: given.negated };
}

/** `-i` argument: `eth0`, `eth+`. */
export function interfaceText(match: InterfaceMatch): string {
	return match.name + (match.wildcard ? "+" : "");
}

/** The header's words in -S, each preceded by a blank. */
export function saveHeader(header: RuleHeader): string {
	const words: string[] = [];
	const add = (key: HeaderKey, value?: string): void => {
		const match = header[key];
		if (match === undefined) return;
		words.push(
			`${match.negated ? "! " : ""}${optionName(HEADER_OPTIONS[key])}${value === undefined ? "" : ` ${value}`}`,
		);
	};
	const { source, destination, inInterface, outInterface, protocol } = header;
	if (source !== undefined) add("source", prefixText(source.prefix));
	if (destination !== undefined) add("destination", prefixText(destination.prefix));
	if (inInterface !== undefined) add("inInterface", interfaceText(inInterface));
	if (outInterface !== undefined) add("outInterface", interfaceText(outInterface));
	if (protocol !== undefined) add("protocol", protocolName(protocol.number));
	add("fragment");
	return words.map((word) => ` ${word}`).join("");
}
