/** The port conditions of a rule, computed as one set for each port. */
import {
	type Expression,
	field,
	match,
	type Operand,
	type NumberRange as PortRange,
	rawField,
} from "@l3dsr/nftables";
import { PROTOCOL_NUMBER } from "@l3dsr/packet";
import {
	asksForPorts,
	isOfPorts,
	type Match,
	type NumberRange,
	PORT_MODULES,
	type Rule,
} from "../../../model/rule.ts";

const ALL: readonly NumberRange[] = [{ first: 0, last: 0xffff }];

interface PortSets {
	readonly sport: readonly NumberRange[];
	readonly dport: readonly NumberRange[];
}

/** Disjoint alternatives: `--ports` needs two, contradictory ports none. */
export function compilePorts(rule: Rule): readonly (readonly Expression[])[] {
	if (!asksForPorts(rule)) return [[]];
	return portSetsOf(rule).map(({ sport, dport }) => [
		...among(field("th sport"), sport),
		...among(field("th dport"), dport),
		// Last, because it is slow.
		...PORTS_PRESENT,
	]);
}

/** The same for the ports of a flow that an ICMP error quotes. */
export function compileQuotedPorts(
	rule: Rule,
	{ source, destination }: { readonly source: Operand; readonly destination: Operand },
): readonly (readonly Expression[])[] {
	return portSetsOf(rule).map(({ sport, dport }) => [
		// Both ports must be there, whatever the conditions on them.
		...(isAll(sport) ? match(source, ">=", 0) : among(source, sport)),
		...(isAll(dport) ? match(destination, ">=", 0) : among(destination, dport)),
	]);
}

function portSetsOf(rule: Rule): readonly PortSets[] {
	const [first = [{ sport: ALL, dport: ALL }], ...more] = rule.matches
		.filter(isOfPorts)
		.map((one) => (protocolFits(rule, one) ? setsOf(one) : []));
	let alternatives: readonly PortSets[] = first;
	for (const sets of more) {
		alternatives = alternatives.flatMap((old) =>
			sets.map(({ sport, dport }) => ({
				sport: intersect(old.sport, sport),
				dport: intersect(old.dport, dport),
			})),
		);
	}
	return alternatives.filter(({ sport, dport }) => sport.length > 0 && dport.length > 0);
}

/** The grammar requires a protocol with ports; a rule made otherwise matches what its modules can match. */
function protocolFits({ header }: Rule, one: Extract<Match, { kind: "ports" | "multiport" }>): boolean {
	const given = header.protocol;
	if (given === undefined || given.negated) return one.kind === "multiport";
	if (one.kind === "ports") return given.number === PROTOCOL_NUMBER[one.module];
	return PORT_MODULES.some((module) => PROTOCOL_NUMBER[module] === given.number);
}

function setsOf(one: Extract<Match, { kind: "ports" | "multiport" }>): PortSets[] {
	if (one.kind === "ports") {
		const { source, destination } = one;
		return [
			{
				sport: source === undefined ? ALL : setOf([source], source.negated),
				dport: destination === undefined ? ALL : setOf([destination], destination.negated),
			},
		];
	}
	const inside = setOf(one.ports, one.negated);
	if (one.direction === "source") return [{ sport: inside, dport: ALL }];
	if (one.direction === "destination") return [{ sport: ALL, dport: inside }];
	if (one.negated) return [{ sport: inside, dport: inside }];
	// Matches by the source port, or else by the destination port. DADDR never changes the source port, so the second
	// alternative never matches a packet that the first has taken.
	return [
		{ sport: inside, dport: ALL },
		{ sport: complement(inside), dport: inside },
	];
}

function among(port: Operand, set: readonly NumberRange[]): readonly Expression[] {
	return isAll(set) ? [] : match(port, "==", amongValue(set));
}

function isAll(set: readonly NumberRange[]): boolean {
	return set[0]?.first === 0 && set[0].last === 0xffff;
}

function amongValue(
	set: readonly NumberRange[],
): number | PortRange | { readonly anyOf: readonly PortRange[] } {
	const [only, more] = set;
	if (only === undefined || more !== undefined) return { anyOf: set };
	return only.first === only.last ? only.first : only;
}

/**
 * Both ports are in this packet. Linux 5.10 also finds them in later fragments (6.18 does so for aligned fields of
 * one, two or four bytes), so later fragments must not get here.
 */
export const PORTS_PRESENT: readonly Expression[] = match(rawField("transport", 8, 24), ">=", 0);

function setOf(ranges: readonly NumberRange[], negated: boolean): NumberRange[] {
	const merged = mergeRanges(ranges);
	return negated ? complement(merged) : merged;
}

/** Sorted, with overlapping and adjacent ranges merged, as nft keeps the intervals of a set. */
function mergeRanges(list: readonly NumberRange[]): NumberRange[] {
	const merged: { first: number; last: number }[] = [];
	for (const { first, last } of [...list].sort((a, b) => a.first - b.first)) {
		const before = merged.at(-1);
		if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last);
		else merged.push({ first, last });
	}
	return merged;
}

/** `set`: as returned by `mergeRanges`. */
function complement(set: readonly NumberRange[]): NumberRange[] {
	const gaps: NumberRange[] = [];
	let next = 0;
	for (const { first, last } of set) {
		if (first > next) gaps.push({ first: next, last: first - 1 });
		next = last + 1;
	}
	if (next <= 0xffff) gaps.push({ first: next, last: 0xffff });
	return gaps;
}

function intersect(a: readonly NumberRange[], b: readonly NumberRange[]): NumberRange[] {
	return mergeRanges(
		a.flatMap((one) =>
			b
				.map((other) => ({ first: Math.max(one.first, other.first), last: Math.min(one.last, other.last) }))
				.filter(({ first, last }) => first <= last),
		),
	);
}
