/** The matches on transport ports: `-m tcp` and the like, and `-m multiport`. */
import { PROTOCOL_NUMBER } from "@l3dsr/packet";
import { type NumberRange, PORT_MODULES, type PortModule } from "../../model/rule.ts";
import { parseStrtoul } from "../numbers.ts";
import { nearest } from "../suggest.ts";
import {
	BOTH_FAMILIES,
	bang,
	type ListNames,
	type MatchContext,
	type MatchOf,
	type MatchSyntax,
	parseRange,
	rangeText,
} from "./match.ts";
import type { Given, OptionSpec } from "./option.ts";
import { partOf, type Word } from "./words.ts";

const SOURCE_PORT: OptionSpec = {
	long: ["sport", "source-port"],
	argument: "port[:port]",
	negatable: true,
	help: "source port or range",
};
const DESTINATION_PORT: OptionSpec = {
	long: ["dport", "destination-port"],
	argument: "port[:port]",
	negatable: true,
	help: "destination port or range",
};
const PORT_LIST = "port[,port:port,...]";
const SOURCES: OptionSpec = {
	long: ["sports", "source-ports"],
	argument: PORT_LIST,
	negatable: true,
	help: "source port is one of these",
};
const DESTINATIONS: OptionSpec = {
	long: ["dports", "destination-ports"],
	argument: PORT_LIST,
	negatable: true,
	help: "destination port is one of these",
};
const EITHER: OptionSpec = {
	long: ["ports"],
	argument: PORT_LIST,
	negatable: true,
	help: "source or destination port is one of these",
};
const PORT_OPTIONS = [SOURCE_PORT, DESTINATION_PORT];
const MULTIPORT_OPTIONS = [SOURCES, DESTINATIONS, EITHER];
const DIRECTION_OPTION = { source: SOURCES, destination: DESTINATIONS, either: EITHER } as const;

/** The kernel holds this many numbers; a range takes two (XT_MULTI_PORTS). */
const MULTIPORT_MAX = 15;

export function isPortModule(name: string): name is PortModule {
	return (PORT_MODULES as readonly string[]).includes(name);
}

/** The port module for a protocol number, which is also the protocol's name in /etc/services. */
export function portModuleOf(protocol: number | undefined): PortModule | undefined {
	return PORT_MODULES.find((name) => PROTOCOL_NUMBER[name] === protocol);
}

function port(text: string, context: MatchContext): number | undefined {
	const number = parseStrtoul(text);
	if (number !== undefined) return number <= 65535 ? number : undefined;
	return context.services.port(text, portModuleOf(context.header.protocol?.number));
}

/** A port or range in `word` from `start`; faults are reported in iptables' words. */
function portRange(
	word: Word,
	start: number,
	length: number,
	context: MatchContext,
): NumberRange | undefined {
	const text = word.text.slice(start, start + length);
	const range = parseRange(text, 65535, (end) => port(end, context));
	const place = partOf(word, start, length);
	if (range === undefined) {
		const bad = text.split(":").find((end) => end !== "" && port(end, context) === undefined) ?? text;
		const near = /^\d/.test(bad) ? undefined : nearest(bad, context.services.names);
		const hint = near === undefined ? undefined : `did you mean ${near}?`;
		return context.problems.add("RULE_BAD_VALUE", `invalid port/service \`${bad}' specified`, place, hint);
	}
	if (range.first > range.last) {
		return context.problems.add("RULE_BAD_VALUE", "invalid portrange (min > max)", place);
	}
	return range;
}

function onePort(
	given: readonly Given[],
	option: OptionSpec,
	context: MatchContext,
): { readonly source?: NumberRange & { readonly negated: boolean } } {
	const [first, second] = given.filter((one) => one.option === option);
	if (second !== undefined) {
		const message = `Only one \`--${option.long[1]}' allowed`;
		context.problems.add(
			"RULE_CONFLICT",
			message,
			second.at.position,
			"use -m multiport for a list of ports",
		);
	}
	if (first?.value === undefined) return {};
	const range = portRange(first.value, 0, first.value.text.length, context);
	if (range === undefined) return {};
	// "Every port" restricts nothing, but iptables saves it in rules for SCTP and DCCP.
	const kept = context.module === "sctp" || context.module === "dccp" || first.negated;
	return isEveryPort(range) && !kept ? {} : { source: { ...range, negated: first.negated } };
}

function isEveryPort(range: NumberRange): boolean {
	return range.first === 0 && range.last === 65535;
}

export const PORTS: MatchSyntax<"ports"> = {
	modules: Object.fromEntries(PORT_MODULES.map((name) => [name, BOTH_FAMILIES])),
	summary: "transport ports; loaded by -p of the same name",
	options: () => PORT_OPTIONS,
	parse(given, context) {
		const { module, header, at, problems } = context;
		if (!isPortModule(module)) return undefined;
		if (header.protocol?.number !== PROTOCOL_NUMBER[module] || header.protocol.negated) {
			return problems.add(
				"RULE_CONFLICT",
				`${module.toUpperCase()} match requires '-p ${module}'`,
				at.position,
			);
		}
		const { source } = onePort(given, SOURCE_PORT, context);
		const { source: destination } = onePort(given, DESTINATION_PORT, context);
		return {
			kind: "ports",
			module,
			...(source === undefined ? {} : { source }),
			...(destination === undefined ? {} : { destination }),
		};
	},
	save(match) {
		const part = (name: string, range: MatchOf<"ports">["source"]): string =>
			range === undefined ? "" : ` ${bang(range)}--${name} ${rangeText(range)}`;
		return `-m ${match.module}${part("sport", match.source)}${part("dport", match.destination)}`;
	},
	list(match, names) {
		const part = (name: string, range: MatchOf<"ports">["source"]): string => {
			if (range === undefined || (isEveryPort(range) && !range.negated)) return "";
			const plural = range.first === range.last ? "" : "s";
			const text = rangeText(range, (value) => portText(value, names));
			return ` ${name}${plural}:${range.negated ? "!" : ""}${text}`;
		};
		return `${match.module}${part("spt", match.source)}${part("dpt", match.destination)}`;
	},
};

export const MULTIPORT: MatchSyntax<"multiport"> = {
	modules: { multiport: BOTH_FAMILIES },
	summary: "up to 15 ports (a range counts as two)",
	options: () => MULTIPORT_OPTIONS,
	missing: "multiport expects an option: --sports, --dports or --ports",
	parse(given, context) {
		const { header, at, problems } = context;
		const [first, second] = given;
		if (first?.value === undefined) return undefined;
		if (second !== undefined) {
			return problems.add("RULE_CONFLICT", "multiport can only have one option", second.at.position);
		}
		if (portModuleOf(header.protocol?.number) === undefined || header.protocol?.negated === true) {
			return problems.add(
				"RULE_CONFLICT",
				"multiport needs `-p tcp', `-p udp', `-p udplite', `-p sctp' or `-p dccp'",
				at.position,
			);
		}
		const ports: NumberRange[] = [];
		let start = 0;
		let bad = false;
		const texts = first.value.text.split(",");
		for (const text of texts.length > MULTIPORT_MAX ? [] : texts) {
			const range = portRange(first.value, start, text.length, context);
			start += text.length + 1;
			if (range === undefined) bad = true;
			else ports.push(range);
		}
		const size = ports.reduce((sum, range) => sum + (range.first === range.last ? 1 : 2), 0);
		if (texts.length > MULTIPORT_MAX || size > MULTIPORT_MAX) {
			return problems.add(
				"RULE_BAD_VALUE",
				"too many ports specified",
				first.value.position,
				`the limit is ${MULTIPORT_MAX}, a range counts as two: write another rule`,
			);
		}
		if (bad) return undefined;
		const direction =
			first.option === SOURCES ? "source" : first.option === DESTINATIONS ? "destination" : "either";
		return { kind: "multiport", direction, ports, negated: first.negated };
	},
	save(match) {
		const option = DIRECTION_OPTION[match.direction];
		return `-m multiport ${bang(match)}--${option.long[0]} ${match.ports.map((range) => rangeText(range)).join(",")}`;
	},
	list(match, names) {
		const option = DIRECTION_OPTION[match.direction];
		const ports = match.ports.map((range) => rangeText(range, (value) => portText(value, names)));
		return `multiport ${option.long[0]} ${match.negated ? " !" : ""}${ports.join(",")}`;
	},
};

function portText(value: number, names: ListNames | undefined): string {
	return names?.services.name(value, names.protocol) ?? String(value);
}
