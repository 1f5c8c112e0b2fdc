/**
 * Random packets, valid and broken, and random rules that often match them: both use addresses, ports, codes
 * and so on from one small vocabulary.
 */
import {
	dscp,
	type Family,
	PORT_PROTOCOLS,
	PROTOCOL_NUMBER,
	parseAddress,
	portOf,
	prefixOf,
} from "@l3dsr/packet";
import fc from "fast-check";
import { type Match, PORT_MODULES, type Rule, type RuleHeader } from "../../src/model/rule.ts";
import { hostPrefix } from "../../src/model/selection.ts";
import {
	cut,
	dccp,
	type Extension,
	extension,
	icmp,
	icmpError,
	icmpv6,
	icmpv6Error,
	ipv4,
	ipv6,
	macBytes,
	ospfv3,
	type Payload,
	type PortFields,
	raw,
	sctp,
	tcp,
	udp,
	udpLite,
} from "./build.ts";
import { describePacket } from "./diff.ts";
import { fragmentOf } from "./fragment.ts";

/** The values in packets and rules. A forwarding host refuses none of them. */
export const VOCABULARY = {
	ipv4: {
		sources: ["198.51.100.1", "198.51.100.200", "203.0.113.7"],
		destinations: ["192.0.2.10", "192.0.2.11", "72.30.38.140", "98.139.183.24"],
	},
	ipv6: {
		sources: ["2001:db8:c::1", "2001:db8:c::c8", "2001:db8:d::7"],
		destinations: ["2001:db8:a::10", "2001:db8:a::11", "fc00:1000:0:6::10", "fc00:1000:0:6::21"],
	},
	dscps: [0, 1, 2, 10, 46, 63],
	ports: [53, 80, 443, 4789, 40000],
	ttls: [2, 64, 255],
	marks: [0, 1, 0x10, 0xffffffff],
	/** For the Ethernet header; the frames of a crossing have the first one. */
	macs: ["02:00:00:00:01:01", "02:00:00:00:01:99"],
	lengths: [20, 28, 40, 57, 77, 576],
} as const;

export interface RandomPacket {
	readonly family: Family;
	readonly bytes: Uint8Array;
	/** Complete, with every checksum right. */
	readonly valid: boolean;
	/** For fast-check's report. */
	toString(): string;
}

const { constantFrom, boolean, integer } = fc;
const port = constantFrom(...VOCABULARY.ports);

interface Shape {
	readonly family: Family;
	readonly addresses: { readonly source: string; readonly destination: string };
	readonly header: { readonly dscp: number; readonly ecn: number; readonly ttl: number };
	readonly payload: Payload;
	readonly extensions: readonly Extension[];
	readonly optionWords: number;
	readonly cutTo: number | undefined;
	readonly fragment: { readonly from: number; readonly to: number } | undefined;
	readonly wrong: boolean;
	readonly id: number;
}

function arbitraryFields(wrong: boolean): fc.Arbitrary<PortFields> {
	return fc
		.record({
			sourcePort: port,
			destinationPort: port,
			data: fc.uint8Array({ maxLength: 40 }),
			error: wrong ? integer({ min: 1, max: 0xfffe }) : fc.constant(0),
		})
		.map(({ error, ...rest }) => (error === 0 ? rest : { ...rest, checksumError: error }));
}

function arbitraryPayload(family: Family, wrong: boolean): fc.Arbitrary<Payload> {
	const fields = arbitraryFields(wrong);
	const data = fc.uint8Array({ maxLength: 40 });
	const any: fc.Arbitrary<Payload>[] = [
		fields.map(tcp),
		fields.map((some) => tcp({ ...some, options: [2, 4, 5, 0xb4] })),
		fields.map(udp),
		fields.map((some) => udp({ ...some, checksum: 0 })),
		fields.map(udpLite),
		fields.map((some) => udpLite({ ...some, coverage: 8 })),
		fields.map(dccp),
		fields.map(sctp),
		data.map((some) => icmp(some)),
		fc.tuple(constantFrom(4, 47, 50, 253), data).map(([protocol, some]) => raw(protocol, some)),
	];
	const errors = arbitraryError(family, fields);
	any.push(errors, errors, errors);
	if (family === "ipv6") {
		any.push(
			fields.map((some) => icmpv6(some)),
			fields.map((some) => ospfv3(some)),
			fc.constant(raw(59, "")),
		);
	}
	return fc.oneof(...any);
}

/** The number of destinations that services have as VIPs. */
const VIPS = 2;

/**
 * An ICMP error about a packet from a VIP to a client, or from anywhere, which quotes all of it, a part, or a
 * fragment.
 */
function arbitraryError(family: Family, fields: fc.Arbitrary<PortFields>): fc.Arbitrary<Payload> {
	const { sources, destinations } = VOCABULARY[family];
	return fc
		.record({
			source: fc.oneof(
				{ weight: 3, arbitrary: constantFrom(...destinations.slice(0, VIPS)) },
				constantFrom(...destinations, ...sources),
			),
			destination: constantFrom(...sources),
			payload: fc.oneof(
				{ weight: 4, arbitrary: fields.map(tcp) },
				{ weight: 4, arbitrary: fields.map(udp) },
				fields.map(udpLite),
				fields.map(sctp),
				fields.map(dccp),
				fc.constant(icmp("quoted")),
			),
			optionWords: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, integer({ min: 1, max: 3 })),
			extensions: fc.oneof(
				{ weight: 3, arbitrary: fc.constant([]) },
				fc.constant([extension.fragment(0, true)]),
				fc.constant([extension.fragment(8, true)]),
				fc.constant([extension.destinationOptions(1)]),
			),
			fragment: fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, constantFrom(0, 8)),
			keep: fc.oneof({ weight: 3, arbitrary: fc.constant(2000) }, integer({ min: 0, max: 60 })),
			type: family === "ipv4" ? constantFrom(3, 3, 3, 11, 12, 5, 8) : constantFrom(2, 2, 1, 3, 4, 128),
		})
		.map(({ source, destination, payload, optionWords, extensions, fragment, keep, type }) => {
			const options = new Array<number>(optionWords * 4).fill(1);
			let quoted =
				family === "ipv4"
					? ipv4({ source, destination, options }, payload)
					: ipv6({ source, destination, extensions }, payload);
			if (family === "ipv4" && fragment !== undefined) quoted = fragmentOf(quoted, fragment, fragment + 16);
			const start = quoted.subarray(0, keep);
			return family === "ipv4" ? icmpError(start, type) : icmpv6Error(start, type);
		});
}

const arbitraryExtensions: fc.Arbitrary<readonly Extension[]> = fc
	.tuple(
		boolean(),
		fc.array(
			fc.oneof(
				integer({ min: 1, max: 3 }).map((units) => extension.destinationOptions(units)),
				constantFrom(...VOCABULARY.ipv6.destinations).map((final) => extension.routing(0, final)),
				constantFrom(...VOCABULARY.ipv6.destinations).map((final) => extension.routing(1, final)),
				fc.constant(extension.authentication()),
				fc.constant(extension.mobility()),
				fc.constant(extension.hip()),
				fc.constant(extension.shim6()),
				fc.constant(extension.fragment(0, false)),
			),
			{ maxLength: 3 },
		),
	)
	.map(([hopByHop, rest]) => (hopByHop ? [extension.hopByHop(), ...rest] : rest));

function arbitraryShape(family: Family, allValid: boolean, errors: boolean): fc.Arbitrary<Shape> {
	const { sources, destinations } = VOCABULARY[family];
	const never = fc.constant(undefined);
	return (allValid ? fc.constant(false) : boolean()).chain((wrong) =>
		fc.record({
			family: fc.constant(family),
			addresses: fc.record({ source: constantFrom(...sources), destination: constantFrom(...destinations) }),
			header: fc.record({
				dscp: fc.oneof(constantFrom(...VOCABULARY.dscps), integer({ min: 0, max: 63 })),
				ecn: integer({ min: 0, max: 3 }),
				ttl: constantFrom(...VOCABULARY.ttls),
			}),
			payload: errors ? arbitraryError(family, arbitraryFields(wrong)) : arbitraryPayload(family, wrong),
			extensions:
				family === "ipv6"
					? fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: arbitraryExtensions })
					: fc.constant([]),
			optionWords: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, integer({ min: 1, max: 10 })),
			cutTo: allValid ? never : fc.oneof({ weight: 4, arbitrary: never }, integer({ min: 0, max: 24 })),
			fragment: allValid
				? never
				: fc.oneof(
						{ weight: 3, arbitrary: never },
						fc
							.tuple(integer({ min: 0, max: 4 }), integer({ min: 1, max: 40 }))
							.map(([eights, length]) => ({ from: eights * 8, to: eights * 8 + length })),
					),
			wrong: fc.constant(wrong),
			id: integer({ min: 0, max: 0xffff }),
		}),
	);
}

function buildShape(shape: Shape): RandomPacket {
	const { family, addresses, header, cutTo, fragment, id } = shape;
	const payload = cutTo === undefined ? shape.payload : cut(shape.payload, cutTo);
	let bytes =
		family === "ipv4"
			? ipv4(
					{
						...addresses,
						dscp: header.dscp,
						ecn: header.ecn,
						ttl: header.ttl,
						id,
						options: new Array(shape.optionWords * 4).fill(1),
					},
					payload,
				)
			: ipv6(
					{
						...addresses,
						dscp: header.dscp,
						ecn: header.ecn,
						hopLimit: header.ttl,
						flowLabel: id,
						extensions: shape.extensions,
					},
					payload,
				);
	const headerLength = family === "ipv4" ? 20 + shape.optionWords * 4 : 40;
	// An empty fragment, or a complete one, is not a fragment.
	if (fragment !== undefined && fragment.from < bytes.length - headerLength) {
		bytes = fragmentOf(bytes, fragment.from, fragment.to);
	}
	return {
		family,
		bytes,
		valid: !shape.wrong && cutTo === undefined && fragment === undefined,
		toString: () => `${describePacket(bytes)}: ${Buffer.from(bytes).toString("hex")}`,
	};
}

/** Packets of one family or of both, all of kinds that every host forwards. */
export function arbitraryPacket(
	limits: { readonly family?: Family; readonly valid?: boolean; readonly errors?: boolean } = {},
): fc.Arbitrary<RandomPacket> {
	const families: fc.Arbitrary<Family> =
		limits.family === undefined ? constantFrom("ipv4", "ipv6") : fc.constant(limits.family);
	return families
		.chain((family) => arbitraryShape(family, limits.valid ?? false, limits.errors ?? false))
		.map(buildShape);
}

function must(text: string) {
	const address = parseAddress(text);
	if (address === undefined) throw new RangeError(`${text} is not an address`);
	return address;
}

/** Leaves most fields out, so that a combined rule still matches something. */
function mostlyNot<T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
	return fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });
}

const negated = fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, fc.constant(true));

function arbitraryMatch(): fc.Arbitrary<Match> {
	const tos = constantFrom(...VOCABULARY.dscps).map((code) => code << 2);
	const length = constantFrom(...VOCABULARY.lengths);
	return fc.oneof(
		{
			weight: 5,
			arbitrary: fc
				.record({ dscp: constantFrom(...VOCABULARY.dscps), negated })
				.map((some): Match => ({ kind: "dscp", dscp: dscp(some.dscp), negated: some.negated })),
		},
		fc
			.record({ value: tos, mask: constantFrom(0xff, 0xfc, 0x3f), negated })
			.map((some): Match => ({ kind: "tos", ...some, value: some.value & some.mask })),
		fc.record({ ect: integer({ min: 0, max: 3 }), negated }).map((some): Match => ({ kind: "ecn", ...some })),
		fc
			.record({ value: constantFrom(...VOCABULARY.marks), mask: constantFrom(0xffffffff, 0xff), negated })
			.map((some): Match => ({ kind: "mark", ...some, value: (some.value & some.mask) >>> 0 })),
		fc
			.record({ source: constantFrom(...VOCABULARY.macs).map(macBytes), negated })
			.map((some): Match => ({ kind: "mac", ...some })),
		fc.record({ negated }).map((some): Match => ({ kind: "addrtype", destinationType: "LOCAL", ...some })),
		fc.record({ a: length, b: length, negated }).map(
			({ a, b, negated: not }): Match => ({
				kind: "length",
				first: Math.min(a, b),
				last: Math.max(a, b),
				negated: not,
			}),
		),
		fc
			.record({ value: constantFrom(...VOCABULARY.ttls), negated })
			.map((some): Match => ({ kind: "ttl", comparison: "eq", ...some })),
		fc
			.record({ value: constantFrom(...VOCABULARY.ttls), comparison: constantFrom("lt", "gt") })
			.map((some): Match => ({ kind: "ttl", ...some, negated: false })),
		fc.constant<Match>({ kind: "comment", text: "for the test" }),
	);
}

const arbitraryPorts = fc
	.record({ a: port, b: port, single: boolean() })
	.map(({ a, b, single }) =>
		single ? { first: a, last: a } : { first: Math.min(a, b), last: Math.max(a, b) },
	);

/** A protocol, and matches on its ports. */
const arbitraryTransport: fc.Arbitrary<{
	readonly protocol?: NonNullable<RuleHeader["protocol"]>;
	readonly matches: readonly Match[];
}> = fc.oneof(
	{ weight: 4, arbitrary: fc.constant({ matches: [] }) },
	{
		weight: 2,
		arbitrary: fc
			.record({
				module: constantFrom(...PORT_MODULES),
				source: mostlyNot(fc.tuple(arbitraryPorts, negated)),
				destination: fc.option(fc.tuple(arbitraryPorts, negated), { nil: undefined }),
				multiport: mostlyNot(
					fc.record({
						direction: constantFrom("source", "destination", "either"),
						ports: fc.array(arbitraryPorts, { minLength: 1, maxLength: 3 }),
						negated,
					}),
				),
			})
			.map(({ module, source, destination, multiport }) => {
				const ports: Match = {
					kind: "ports",
					module,
					...(source === undefined ? {} : { source: { ...source[0], negated: source[1] } }),
					...(destination === undefined
						? {}
						: { destination: { ...destination[0], negated: destination[1] } }),
				};
				const more: readonly Match[] = multiport === undefined ? [] : [{ kind: "multiport", ...multiport }];
				return {
					protocol: { number: PROTOCOL_NUMBER[module], negated: false },
					matches: [ports, ...more],
				};
			}),
	},
	{
		weight: 1,
		arbitrary: fc
			.record({ number: constantFrom(1, 6, 17, 47, 58, 135, 253), negated })
			.map((protocol) => ({ protocol, matches: [] })),
	},
);

/** A rule in raw PREROUTING that often matches an {@link arbitraryPacket}. */
export function arbitraryMatchingRule(
	family: Family,
	{
		inInterface = "in0",
		follows = false,
	}: { readonly inInterface?: string; readonly follows?: boolean } = {},
): fc.Arbitrary<Rule> {
	const { sources, destinations } = VOCABULARY[family];
	const prefix = (texts: readonly string[]) =>
		fc.record({
			prefix: fc
				.tuple(constantFrom(...texts), constantFrom(8, 24, 32, family === "ipv4" ? 32 : 128))
				.map(([text, length]) => prefixOf(must(text), length)),
			negated,
		});
	return fc
		.record({
			source: mostlyNot(prefix(sources)),
			destination: mostlyNot(prefix(destinations)),
			inInterface: mostlyNot(
				fc.record({
					name: constantFrom(inInterface, inInterface.slice(0, 2), "eth0"),
					wildcard: boolean(),
					negated,
				}),
			),
			fragment: family === "ipv4" ? mostlyNot(fc.record({ negated: boolean() })) : fc.constant(undefined),
			transport: arbitraryTransport,
			matches: fc.array(arbitraryMatch(), { maxLength: 2 }),
			daddr: constantFrom(...destinations),
			dport: mostlyNot(port),
			clearDscp: boolean(),
			icmpErrors: follows ? boolean() : fc.constant(false),
			laterFragments: follows ? boolean() : fc.constant(false),
		})
		.map(
			({ source, destination, inInterface: input, fragment, transport, matches, ...target }): Rule => ({
				family,
				table: "raw",
				chain: "PREROUTING",
				header: {
					...(source === undefined ? {} : { source }),
					...(destination === undefined ? {} : { destination }),
					...(input === undefined ? {} : { inInterface: input }),
					...(transport.protocol === undefined ? {} : { protocol: transport.protocol }),
					...(fragment === undefined ? {} : { fragment }),
				},
				matches: [...matches, ...transport.matches],
				target: {
					daddr: must(target.daddr),
					clearDscp: target.clearDscp,
					...(target.dport === undefined ? {} : { dport: portOf(target.dport) }),
					...(target.icmpErrors && hasPortProtocol(transport.protocol) ? { icmpErrors: true } : {}),
					...(target.laterFragments && hasPortProtocol(transport.protocol) ? { laterFragments: true } : {}),
				},
			}),
		);
}

function hasPortProtocol(protocol: RuleHeader["protocol"]): boolean {
	return protocol !== undefined && !protocol.negated && PORT_PROTOCOLS.includes(protocol.number);
}

/**
 * A rule of a service with ports: only the further packets that it selects, besides those with ports, are
 * random.
 */
export function arbitraryServiceRule(family: Family): fc.Arbitrary<Rule> {
	return fc
		.record({
			module: constantFrom("tcp", "udp", "tcp", "udp", "udplite", "sctp"),
			ports: arbitraryPorts,
			multiport: boolean(),
			client: mostlyNot(constantFrom(...VOCABULARY[family].sources)),
			daddr: constantFrom(...VOCABULARY[family].destinations.slice(0, VIPS)),
			dport: fc.option(port, { nil: undefined }),
			clearDscp: boolean(),
			icmpErrors: fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, fc.constant(false)),
			laterFragments: boolean(),
		})
		.map(
			({ module, ports, multiport, client, daddr, dport, clearDscp, icmpErrors, laterFragments }): Rule => ({
				family,
				table: "raw",
				chain: "PREROUTING",
				header: {
					protocol: { number: PROTOCOL_NUMBER[module], negated: false },
					...(client === undefined ? {} : { source: { prefix: hostPrefix(must(client)), negated: false } }),
				},
				matches: multiport
					? [{ kind: "multiport", direction: "destination", negated: false, ports: [ports] }]
					: [{ kind: "ports", module, destination: { ...ports, negated: false } }],
				target: {
					daddr: must(daddr),
					clearDscp,
					...(dport === undefined ? {} : { dport: portOf(dport) }),
					...(icmpErrors ? { icmpErrors } : {}),
					...(laterFragments ? { laterFragments } : {}),
				},
			}),
		);
}
