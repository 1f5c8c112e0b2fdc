/**
 * Random rules in canonical form, which `parseRuleSpec` returns for the text that `formatRuleSpec` prints.
 * Every match, both families, every table and chain.
 */
import {
	addressBits,
	addressFromBytes,
	dscp,
	type Family,
	MAX_PORT,
	type Port,
	PROTOCOL_NUMBER,
	portOf,
	prefixOf,
} from "@l3dsr/packet";
import fc from "fast-check";
import {
	CHAINS,
	type Chain,
	type DaddrTarget,
	type InterfaceMatch,
	type Match,
	type NumberRange,
	PORT_MODULES,
	type Rule,
	type RuleHeader,
	type Table,
} from "../../src/model/rule.ts";
import type { RuleEntry, Ruleset } from "../../src/model/ruleset.ts";
import { ORDINAL_STEP } from "../../src/model/ruleset.ts";

/** Plain objects, as the parser creates them (fast-check's own have no prototype). */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
	return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

export const arbitraryFamily: fc.Arbitrary<Family> = fc.constantFrom("ipv4", "ipv6");

export function arbitraryAddress(family: Family): fc.Arbitrary<ReturnType<typeof addressFromBytes>> {
	const length = addressBits(family) / 8;
	const byte = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 255 }));
	return fc.array(byte, { minLength: length, maxLength: length }).map(addressFromBytes);
}

/** Never the full range without negation, because that is not a match at all. */
function arbitraryRange(most: number): fc.Arbitrary<NumberRange> {
	const end = fc.integer({ min: 0, max: most });
	return fc
		.oneof(
			end.map((value) => [value, value] as const),
			fc.tuple(end, end).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const),
		)
		.filter(([first, last]) => first > 0 || last < most)
		.map(([first, last]) => ({ first, last }));
}

const arbitraryPrefix = (family: Family): fc.Arbitrary<NonNullable<RuleHeader["source"]>> =>
	record({
		prefix: fc
			.tuple(arbitraryAddress(family), fc.integer({ min: 1, max: addressBits(family) }))
			.map(([address, length]) => prefixOf(address, length)),
		negated: fc.boolean(),
	});

const arbitraryInterface: fc.Arbitrary<InterfaceMatch> = record({
	name: fc.stringMatching(/^[a-z][a-z0-9._-]{0,13}$/),
	wildcard: fc.boolean(),
	negated: fc.boolean(),
});

const comments = fc.oneof(
	fc.stringMatching(/^[\x20-\x7e]{0,24}$/),
	fc.constantFrom(
		'a "quoted" word',
		"back\\slash",
		"",
		"it's",
		"vip für Kunden",
		"-j DADDR --set-daddr 1.1.1.1",
	),
);

/** Matches that need no protocol in the header. */
function arbitraryFreeMatch(chain: Chain): fc.Arbitrary<Match> {
	const negated = fc.boolean();
	const incoming = chain !== "OUTPUT" && chain !== "POSTROUTING";
	const byte = fc.integer({ min: 0, max: 255 });
	const word = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 0xffffffff }));
	const all: fc.Arbitrary<Match>[] = [
		record({ kind: fc.constant("dscp"), dscp: fc.integer({ min: 0, max: 63 }).map(dscp), negated }),
		record({ kind: fc.constant("tos"), value: byte, mask: fc.oneof(byte, fc.constant(0xff)), negated }),
		record({ kind: fc.constant("ecn"), ect: fc.integer({ min: 0, max: 3 }), negated }),
		record({
			kind: fc.constant("mark"),
			value: word,
			mask: fc.oneof(word, fc.constant(0xffffffff)),
			negated,
		}),
		record({ kind: fc.constant("addrtype"), destinationType: fc.constant("LOCAL"), negated }),
		fc
			.tuple(arbitraryRange(0xffff), negated)
			.map(([range, not]) => ({ kind: "length", ...range, negated: not })),
		record({ kind: fc.constant("ttl"), comparison: fc.constant("eq"), value: byte, negated }),
		record({
			kind: fc.constant("ttl"),
			comparison: fc.constantFrom("lt", "gt"),
			value: byte,
			negated: fc.constant(false),
		}),
		record({ kind: fc.constant("comment"), text: comments }),
	];
	if (incoming) {
		const source = fc.array(byte, { minLength: 6, maxLength: 6 });
		all.push(record({ kind: fc.constant("mac"), source, negated }));
	}
	return fc.oneof(...all);
}

/** A protocol with its port matches. */
const arbitraryPorts: fc.Arbitrary<{ readonly number: number; readonly matches: readonly Match[] }> = fc
	.constantFrom(...PORT_MODULES)
	.chain((module) => {
		const port = fc
			.tuple(arbitraryRange(0xffff), fc.boolean())
			.map(([range, negated]) => ({ ...range, negated }));
		const ports = fc
			.record({ source: port, destination: port }, { requiredKeys: [], noNullPrototype: true })
			.map((some): Match => ({ kind: "ports", module, ...some }));
		const multiport: fc.Arbitrary<Match> = record({
			kind: fc.constant("multiport"),
			direction: fc.constantFrom("source", "destination", "either"),
			ports: fc.array(arbitraryRange(0xffff), { minLength: 1, maxLength: 7 }),
			negated: fc.boolean(),
		});
		const matches = fc.oneof(
			ports.map((one) => [one]),
			multiport.map((one) => [one]),
			fc.tuple(ports, multiport),
			fc.constant([]),
		);
		return matches.map((some) => ({ number: PROTOCOL_NUMBER[module], matches: some }));
	});

const arbitraryProtocol: fc.Arbitrary<{
	readonly protocol?: NonNullable<RuleHeader["protocol"]>;
	readonly matches: readonly Match[];
}> = fc.oneof(
	{ weight: 3, arbitrary: fc.constant({ matches: [] }) },
	{
		weight: 3,
		arbitrary: arbitraryPorts.map(({ number, matches }) => ({
			protocol: { number, negated: false },
			matches,
		})),
	},
	{
		weight: 1,
		arbitrary: record({
			protocol: record({
				number: fc.oneof(fc.constantFrom(1, 6, 17, 47, 58, 89), fc.integer({ min: 1, max: 255 })),
				negated: fc.boolean(),
			}),
			matches: fc.constant([]),
		}),
	},
);

export const arbitraryPort: fc.Arbitrary<Port> = fc.integer({ min: 1, max: MAX_PORT }).map(portOf);

export function arbitraryTarget(family: Family): fc.Arbitrary<DaddrTarget> {
	const port = fc.option(arbitraryPort, { nil: undefined, freq: 3 });
	return fc
		.tuple(arbitraryAddress(family), port, fc.boolean())
		.map(([daddr, dport, clearDscp]) =>
			dport === undefined ? { daddr, clearDscp } : { daddr, dport, clearDscp },
		);
}

export const arbitraryPlace: fc.Arbitrary<{ readonly table: Table; readonly chain: Chain }> = fc.constantFrom(
	...(["raw", "mangle"] as const).flatMap((table) => CHAINS[table].map((chain) => ({ table, chain }))),
);

/** Restricts the rules to those that a test can use: one family, table or chain, certain matches. */
export interface RuleLimits {
	readonly family?: Family;
	readonly table?: Table;
	readonly chain?: Chain;
	readonly accept?: (rule: Rule) => boolean;
}

export function arbitraryRule(limits: RuleLimits = {}): fc.Arbitrary<Rule> {
	const families = limits.family === undefined ? arbitraryFamily : fc.constant(limits.family);
	const places = arbitraryPlace.filter(
		({ table, chain }) =>
			(limits.table === undefined || table === limits.table) &&
			(limits.chain === undefined || chain === limits.chain),
	);
	return fc
		.tuple(families, places)
		.chain(([family, { table, chain }]) => {
			const before = chain === "PREROUTING" || chain === "INPUT";
			const after = chain === "OUTPUT" || chain === "POSTROUTING";
			const some = <T>(value: fc.Arbitrary<T>, possible = true): fc.Arbitrary<T | undefined> =>
				possible ? fc.option(value, { nil: undefined, freq: 2 }) : fc.constant(undefined);
			return record({
				source: some(arbitraryPrefix(family)),
				destination: some(arbitraryPrefix(family)),
				inInterface: some(arbitraryInterface, !after),
				outInterface: some(arbitraryInterface, !before),
				fragment: some(record({ negated: fc.boolean() }), family === "ipv4"),
				protocol: arbitraryProtocol,
				free: fc.array(arbitraryFreeMatch(chain), { maxLength: 3 }),
				portsFirst: fc.boolean(),
				target: arbitraryTarget(family),
			}).map(({ source, destination, inInterface, outInterface, fragment, protocol, ...rest }): Rule => {
				const header: RuleHeader = {
					...(source === undefined ? {} : { source }),
					...(destination === undefined ? {} : { destination }),
					...(inInterface === undefined ? {} : { inInterface }),
					...(outInterface === undefined ? {} : { outInterface }),
					...(protocol.protocol === undefined ? {} : { protocol: protocol.protocol }),
					...(fragment === undefined ? {} : { fragment }),
				};
				const matches = rest.portsFirst
					? [...protocol.matches, ...rest.free]
					: [...rest.free, ...protocol.matches];
				return { family, table, chain, header, matches, target: rest.target };
			});
		})
		.filter((rule) => limits.accept?.(rule) ?? true);
}

/** Rules in order, with the ordinals that they get when they are appended one by one. */
export function arbitraryRuleset(
	limits: RuleLimits & { readonly maxLength?: number } = {},
): fc.Arbitrary<Ruleset> {
	const { maxLength = 8, ...rule } = limits;
	return fc.array(arbitraryRule(rule), { maxLength }).map((rules) => {
		const next = new Map<string, number>();
		const entries: RuleEntry[] = rules.map((one) => {
			const place = `${one.family} ${one.table} ${one.chain}`;
			const ordinal = (next.get(place) ?? 0) + ORDINAL_STEP;
			next.set(place, ordinal);
			return { rule: one, ordinal };
		});
		return { entries };
	});
}
