/**
 * The table of matches: module names, options, how to read each, and how to print it in -L and -S, with the words and
 * spacing of iptables 1.8.9. (The datapaths compile matches; they switch over the same kinds.)
 */
import { DSCP_CLASSES, dscpOfTos, type Family, isDscp } from "@l3dsr/packet";
import type { Match } from "../../model/rule.ts";
import { parseStrtoul } from "../numbers.ts";
import { didYouMean } from "../suggest.ts";
import {
	BOTH_FAMILIES,
	bang,
	hex,
	type ListNames,
	type MatchKind,
	type MatchOf,
	type MatchSyntax,
	numberValue,
	only,
	parseRange,
	rangeText,
	valueAndMask,
} from "./match.ts";
import { MULTIPORT, PORTS } from "./matches-ports.ts";
import { OptionSet, type OptionSpec } from "./option.ts";
import { saveString } from "./words.ts";

const DSCP_VALUE: OptionSpec = {
	long: ["dscp"],
	argument: "value",
	negatable: true,
	help: "DSCP, 0-63: decimal, 0x hex or 0 octal",
};
const DSCP_CLASS: OptionSpec = {
	long: ["dscp-class"],
	argument: "name",
	negatable: true,
	help: "DSCP by class: BE, DF, LE, EF, VA, AFxy or CSx",
};

const DSCP: MatchSyntax<"dscp"> = {
	modules: { dscp: BOTH_FAMILIES },
	summary: "the six DSCP bits of the IP header",
	options: () => [DSCP_VALUE, DSCP_CLASS],
	missing: "DSCP match: Parameter --dscp is required",
	parse(given, context) {
		const one = only(given, context);
		if (one === undefined) return undefined;
		if (one.option === DSCP_CLASS) {
			const dscp = DSCP_CLASSES[one.value.text.toUpperCase()];
			if (dscp === undefined) {
				const hint = didYouMean(one.value.text, Object.keys(DSCP_CLASSES));
				return context.problems.add(
					"RULE_BAD_VALUE",
					`Invalid DSCP value \`${one.value.text}'`,
					one.value.position,
					hint,
				);
			}
			return { kind: "dscp", dscp, negated: one.negated };
		}
		const value = numberValue(one, context, 63, dscpHint);
		return value !== undefined && isDscp(value)
			? { kind: "dscp", dscp: value, negated: one.negated }
			: undefined;
	},
	save: (match) => `-m dscp ${bang(match)}--dscp ${hex(match.dscp, 2)}`,
	list: (match) => `DSCP match ${match.negated ? "!" : ""}${hex(match.dscp, 2)}`,
};

/** 28 and 0x1c are the TOS bytes of DSCP 7, which people often confuse. */
function dscpHint(text: string): string | undefined {
	const value = parseStrtoul(text);
	if (value === undefined) {
		return DSCP_CLASSES[text.toUpperCase()] === undefined ? undefined : "for a class name use --dscp-class";
	}
	if (value > 255 || value % 4 !== 0) return undefined;
	return `${text} looks like a TOS byte (${hex(value, 2)}), which is DSCP ${dscpOfTos(value)}`;
}

const TOS_NAMES: Readonly<Record<string, number>> = {
	"Minimize-Delay": 0x10,
	"Maximize-Throughput": 0x08,
	"Maximize-Reliability": 0x04,
	"Minimize-Cost": 0x02,
	"Normal-Service": 0x00,
};
/** A name only stands for the old TOS field, without the precedence bits. */
const TOS_NAME_MASK = 0x3f;

const TOS: MatchSyntax<"tos"> = {
	modules: { tos: BOTH_FAMILIES },
	summary: "the TOS byte (Traffic Class)",
	options: () => [
		{
			long: ["tos"],
			argument: "value[/mask] or name",
			negatable: true,
			help: "TOS byte, e.g. 0x10/0x3f or Minimize-Delay",
		},
	],
	missing: 'tos: option "--tos" must be specified',
	parse(given, context) {
		const one = only(given, context);
		if (one === undefined) return undefined;
		const { text } = one.value;
		const name = Object.keys(TOS_NAMES).find((known) => known.toLowerCase() === text.toLowerCase());
		const named = name === undefined ? undefined : TOS_NAMES[name];
		const found = named === undefined ? valueAndMask(text, 0xff) : { value: named, mask: TOS_NAME_MASK };
		if (found === undefined) {
			const message = /^\d/.test(text)
				? 'tos: bad value for option "--tos", or out of range (0-255).'
				: `Symbolic name "${text}" is unknown`;
			return context.problems.add(
				"RULE_BAD_VALUE",
				message,
				one.value.position,
				didYouMean(text, Object.keys(TOS_NAMES)),
			);
		}
		return { kind: "tos", ...found, negated: one.negated };
	},
	save: (match) => `-m tos ${bang(match)}--tos ${hex(match.value, 2)}/${hex(match.mask, 2)}`,
	list(match, names) {
		const name =
			names !== undefined && match.mask === TOS_NAME_MASK
				? Object.entries(TOS_NAMES).find(([, value]) => value === match.value)?.[0]
				: undefined;
		const text = name === undefined ? `${hex(match.value, 2)}/${hex(match.mask, 2)}` : ` ${name}`;
		return `tos match${match.negated ? "!" : ""}${text}`;
	},
};

const ECN: MatchSyntax<"ecn"> = {
	modules: { ecn: BOTH_FAMILIES },
	summary: "the two ECN bits of the IP header",
	options: () => [{ long: ["ecn-ip-ect"], argument: "0..3", negatable: true, help: "ECN codepoint" }],
	missing: "ECN match: some option required",
	parse(given, context) {
		const one = only(given, context);
		const ect = one && numberValue(one, context, 3);
		return one === undefined || ect === undefined ? undefined : { kind: "ecn", ect, negated: one.negated };
	},
	save: (match) => `-m ecn ${bang(match)}--ecn-ip-ect ${match.ect}`,
	list: (match) => `ECN match ${match.negated ? "!" : ""}ECT=${match.ect}`,
};

const MARK: MatchSyntax<"mark"> = {
	modules: { mark: BOTH_FAMILIES },
	summary: "the packet mark",
	options: () => [
		{ long: ["mark"], argument: "value[/mask]", negatable: true, help: "packet mark, after the mask" },
	],
	missing: 'mark: option "--mark" must be specified',
	parse(given, context) {
		const one = only(given, context);
		if (one === undefined) return undefined;
		const found = valueAndMask(one.value.text, 0xffffffff);
		if (found === undefined) {
			const message = 'mark: bad integer value for option "--mark", or out of range.';
			return context.problems.add("RULE_BAD_VALUE", message, one.value.position);
		}
		return { kind: "mark", ...found, negated: one.negated };
	},
	save: (match) => `-m mark ${bang(match)}--mark ${markText(match.value, match.mask)}`,
	list: (match) => `mark match ${bang(match)}${markText(match.value, match.mask)}`,
};

function markText(value: number, mask: number): string {
	return mask === 0xffffffff ? hex(value, 1) : `${hex(value, 1)}/${hex(mask, 1)}`;
}

const MAC: MatchSyntax<"mac"> = {
	modules: { mac: BOTH_FAMILIES },
	summary: "the Ethernet source address",
	options: () => [
		{ long: ["mac-source"], argument: "XX:XX:XX:XX:XX:XX", negatable: true, help: "Ethernet source address" },
	],
	missing: 'mac: option "--mac-source" must be specified',
	parse(given, context) {
		const one = only(given, context);
		if (one === undefined) return undefined;
		const parts = one.value.text.split(":");
		if (parts.length !== 6 || !parts.every((part) => /^[0-9a-f]{1,2}$/i.test(part))) {
			return context.problems.add("RULE_BAD_VALUE", "Invalid MAC address specified.", one.value.position);
		}
		return { kind: "mac", source: parts.map((part) => Number.parseInt(part, 16)), negated: one.negated };
	},
	save: (match) => `-m mac ${bang(match)}--mac-source ${macText(match.source)}`,
	list: (match) => `MAC ${bang(match)}${macText(match.source)}`,
};

function macText(bytes: readonly number[]): string {
	return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

const ADDRTYPE: MatchSyntax<"addrtype"> = {
	modules: { addrtype: BOTH_FAMILIES },
	summary: "what kind of address the destination is",
	options: () => [
		{
			long: ["dst-type"],
			argument: "LOCAL",
			negatable: true,
			help: "destination is an address of this host",
		},
	],
	missing: "addrtype: you must specify --dst-type",
	parse(given, context) {
		const one = only(given, context);
		if (one === undefined) return undefined;
		if (one.value.text.toUpperCase() === "LOCAL") {
			return { kind: "addrtype", destinationType: "LOCAL", negated: one.negated };
		}
		const real = ADDRESS_TYPES.includes(one.value.text.toUpperCase());
		const message = real
			? `addrtype: type ${one.value.text.toUpperCase()} is not supported`
			: `addrtype: bad type "${one.value.text}"`;
		return context.problems.add(
			real ? "RULE_UNSUPPORTED" : "RULE_BAD_VALUE",
			message,
			one.value.position,
			"LOCAL is",
		);
	},
	save: (match) => `-m addrtype ${bang(match)}--dst-type ${match.destinationType}`,
	list: (match) => `ADDRTYPE match dst-type ${match.negated ? "!" : ""}${match.destinationType}`,
};

/** The types of xt_addrtype that are not supported. */
const ADDRESS_TYPES: readonly string[] = [
	"UNSPEC",
	"UNICAST",
	"BROADCAST",
	"ANYCAST",
	"MULTICAST",
	"BLACKHOLE",
	"UNREACHABLE",
	"PROHIBIT",
	"THROW",
	"NAT",
	"XRESOLVE",
];

const LENGTH: MatchSyntax<"length"> = {
	modules: { length: BOTH_FAMILIES },
	summary: "the length of the IP packet",
	options: () => [
		{ long: ["length"], argument: "length[:length]", negatable: true, help: "length or range, in bytes" },
	],
	missing: 'length: option "--length" must be specified',
	parse(given, context) {
		const one = only(given, context);
		if (one === undefined) return undefined;
		const { text, position } = one.value;
		const range = parseRange(text, 0xffff, (end) => {
			const value = parseStrtoul(end);
			return value !== undefined && value <= 0xffff ? value : undefined;
		});
		if (range === undefined) {
			const message = `length: bad value for option "--length" near "${text}", or out of range (0-65535).`;
			return context.problems.add("RULE_BAD_VALUE", message, position);
		}
		if (range.first > range.last) {
			return context.problems.add("RULE_BAD_VALUE", "length: invalid range (min > max)", position);
		}
		return { kind: "length", ...range, negated: one.negated };
	},
	save: (match) => `-m length ${bang(match)}--length ${rangeText(match)}`,
	list: (match) => `length ${match.negated ? "!" : ""}${rangeText(match)}`,
};

type Comparison = Extract<Match, { kind: "ttl" }>["comparison"];
const COMPARISON_SIGN = { eq: "==", lt: "<", gt: ">" } as const satisfies Record<Comparison, string>;

function ttlOptions(module: string): readonly OptionSpec[] {
	const what = module === "hl" ? "hop limit" : "TTL";
	return [
		{
			long: [`${module}-eq`, ...(module === "ttl" ? ["ttl"] : [])],
			argument: "value",
			negatable: true,
			help: `${what} is value`,
		},
		{ long: [`${module}-lt`], argument: "value", help: `${what} is less than value` },
		{ long: [`${module}-gt`], argument: "value", help: `${what} is greater than value` },
	];
}
const TTL_OPTIONS = { ttl: ttlOptions("ttl"), hl: ttlOptions("hl") } as const;

const TTL: MatchSyntax<"ttl"> = {
	modules: { ttl: ["ipv4"], hl: ["ipv6"] },
	summary: "the TTL (ttl, IPv4) or hop limit (hl, IPv6)",
	options: (module) => (module === "hl" ? TTL_OPTIONS.hl : TTL_OPTIONS.ttl),
	missing: "must specify one of --ttl-eq, --ttl-lt, --ttl-gt (IPv6: --hl-eq, --hl-lt, --hl-gt)",
	parse(given, context) {
		const one = only(given, context);
		const value = one && numberValue(one, context, 255);
		if (one === undefined || value === undefined) return undefined;
		const suffix = one.option.long[0].slice(-2);
		const comparison: Comparison = suffix === "lt" ? "lt" : suffix === "gt" ? "gt" : "eq";
		return { kind: "ttl", comparison, value, negated: one.negated };
	},
	save(match, family) {
		const module = ttlModule(family);
		return `-m ${module} ${bang(match)}--${module}-${match.comparison} ${match.value}`;
	},
	list(match, _names, family) {
		const what = ttlModule(family).toUpperCase();
		const sign = match.negated ? "!=" : COMPARISON_SIGN[match.comparison];
		return `${what} match ${what} ${sign} ${match.value}`;
	},
};

function ttlModule(family: Family): "ttl" | "hl" {
	return family === "ipv4" ? "ttl" : "hl";
}

/** XT_MAX_COMMENT_LEN minus the NUL. */
const COMMENT_MAX_BYTES = 255;

const COMMENT: MatchSyntax<"comment"> = {
	modules: { comment: BOTH_FAMILIES },
	summary: "a remark; matches every packet",
	options: () => [{ long: ["comment"], argument: "text", help: "the remark, one line of up to 255 bytes" }],
	missing: 'comment: option "--comment" must be specified',
	parse(given, context) {
		const one = only(given, context);
		if (one === undefined) return undefined;
		const { text, position } = one.value;
		if (Buffer.byteLength(text) > COMMENT_MAX_BYTES) {
			const message = `comment: text is ${Buffer.byteLength(text)} bytes long, the limit is ${COMMENT_MAX_BYTES}`;
			return context.problems.add("RULE_BAD_VALUE", message, position);
		}
		// A saved file has one rule a line, and a control character other than a tab could move a terminal's cursor.
		// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
		if (/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/.test(text)) {
			return context.problems.add("RULE_BAD_VALUE", "comment: text contains a control character", position);
		}
		return { kind: "comment", text };
	},
	save: (match) => `-m comment --comment ${saveString(match.text)}`,
	list: (match) => `/* ${match.text} */`,
};

/** Every kind of match. The compiler checks that it covers src/model/rule.ts. */
const MATCHES: { readonly [K in MatchKind]: MatchSyntax<K> } = {
	dscp: DSCP,
	tos: TOS,
	ecn: ECN,
	mark: MARK,
	mac: MAC,
	ports: PORTS,
	multiport: MULTIPORT,
	addrtype: ADDRTYPE,
	length: LENGTH,
	ttl: TTL,
	comment: COMMENT,
};

/** A kind, with the module name that was used for it. */
export class MatchModule {
	readonly name: string;
	readonly syntax: AnyMatchSyntax;
	#options: OptionSet | undefined;

	constructor(name: string, syntax: AnyMatchSyntax) {
		this.name = name;
		this.syntax = syntax;
	}

	/** Created when first needed, because few rules load more than two modules. */
	get options(): OptionSet {
		this.#options ??= new OptionSet(this.syntax.options(this.name));
		return this.#options;
	}
}

/** A table entry of unknown kind: usable for everything except printing. */
export type AnyMatchSyntax = Pick<MatchSyntax<MatchKind>, "modules" | "summary" | "options" | "missing"> & {
	parse(...args: Parameters<MatchSyntax<MatchKind>["parse"]>): Match | undefined;
};

const ALL: readonly AnyMatchSyntax[] = Object.values(MATCHES);

function listModules(family: Family): MatchModule[] {
	return ALL.flatMap((syntax) =>
		Object.entries(syntax.modules)
			.filter(([, families]) => families.includes(family))
			.map(([name]) => new MatchModule(name, syntax)),
	);
}
const MODULES: Readonly<Record<Family, readonly MatchModule[]>> = {
	ipv4: listModules("ipv4"),
	ipv6: listModules("ipv6"),
};

/** The modules of `family`, in the order of the table. */
export function modulesOf(family: Family): readonly MatchModule[] {
	return MODULES[family];
}

export function saveMatch(match: Match, family: Family): string {
	return entryOf(match).save(match, family);
}

export function listMatch(match: Match, names: ListNames | undefined, family: Family): string {
	return entryOf(match).list(match, names, family);
}

/** The table entry of a match. */
function entryOf<K extends MatchKind>(match: MatchOf<K>): MatchSyntax<K> {
	// A match of kind K has K as its `kind`; TypeScript cannot infer that through Extract.
	return MATCHES[match.kind as K];
}
