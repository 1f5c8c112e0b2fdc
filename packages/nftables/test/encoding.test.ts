/** This package sends the same attributes for a command as nft(8) does. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { enterNetns } from "../../../test/support/netns.ts";
import { eachAttribute } from "../src/codec.ts";
import { dataType, integerType } from "../src/data-type.ts";
import { encodeCommands } from "../src/encode.ts";
import { type Command, type Expression, Nftables, printCommand, type SetSpec } from "../src/index.ts";
import {
	assign,
	assignFromMap,
	counter,
	extensionHeader,
	fibType,
	field,
	goTo,
	hasExtensionHeader,
	jhash,
	jump,
	masked,
	match,
	meta,
	rawField,
	verdict,
} from "../src/statement.ts";
import { NFT_MSG } from "../src/uapi.ts";
import { namedPlace } from "../src/user-data.ts";
import { sentByNft } from "./sent-by-nft.ts";

enterNetns();

const IP = { family: "ip", name: "t" } as const;
const IP6 = { family: "ip6", name: "t" } as const;

/** Attributes as a tree; payloads that are not nested are in hexadecimal. */
type Tree = readonly (readonly [type: number, value: string | Tree])[];

function treeOf(bytes: Buffer, from: number, to: number): Tree {
	const tree: [number, string | Tree][] = [];
	let at = from;
	eachAttribute(bytes, from, to, (type, first, last) => {
		const nested = (bytes.readUInt16LE(at + 2) & 0x8000) !== 0;
		tree.push([type, nested ? treeOf(bytes, first, last) : bytes.toString("hex", first, last)]);
		at += (bytes.readUInt16LE(at) + 3) & ~3;
	});
	return tree;
}

/** Attributes without meaning: nft's numbers in them depend on its earlier commands. */
const ANONYMOUS = {
	names: ["__set%d\0", "__map%d\0"].map((name) => Buffer.from(name).toString("hex")),
	userData: 13,
} as const;
const SET_ID = { [NFT_MSG.NEWSET]: 10, [NFT_MSG.NEWSETELEM]: 4 } as Readonly<Record<number, number>>;
const ELEMENTS = 3;
const BITWISE = Buffer.from("bitwise\0").toString("hex");
const LOOKUP = Buffer.from("lookup\0").toString("hex");

/** A message's tree without nft's running numbers and the attributes that nft sends only sometimes. */
function messageTree({ type, payload }: { readonly type: number; readonly payload: Uint8Array }): {
	type: number;
	family: number;
	attributes: Tree;
} {
	const bytes = Buffer.from(payload);
	const tree = treeOf(bytes, 4, bytes.length);
	const anonymous =
		type === NFT_MSG.NEWSET &&
		tree.some(([one, value]) => one === 2 && ANONYMOUS.names.includes(String(value)));
	const attributes = tree
		.filter(([one]) => one !== SET_ID[type])
		// Derived from the rule's comparison; the kernel ignores it.
		.filter(([one]) => !(anonymous && one === ANONYMOUS.userData))
		.map(([one, value]): Tree[number] => {
			if (type === NFT_MSG.NEWSETELEM && one === ELEMENTS && typeof value !== "string") {
				return [one, value.map(([, element]) => [1, element])];
			}
			return type === NFT_MSG.NEWRULE && one === 4 && typeof value !== "string"
				? [one, value.map(([list, expression]) => [list, plainExpression(expression)])]
				: [one, value];
		});
	return { type, family: bytes[0] ?? 0, attributes };
}

function plainExpression(expression: string | Tree): string | Tree {
	if (typeof expression === "string") return expression;
	const name = expression[0]?.[1];
	const without = (type: number): Tree =>
		expression.map(([one, data]) => [
			one,
			typeof data === "string" ? data : data.filter(([inner]) => inner !== type),
		]);
	// NFTA_BITWISE_OP: a mask, which is also the default. NFTA_LOOKUP_SET_ID: the number of an anonymous set.
	if (name === BITWISE) return without(6);
	return name === LOOKUP ? without(4) : expression;
}

function assertSentAlike(commands: readonly Command[], script: string): void {
	const ours = encodeCommands(commands).map(messageTree);
	assert.deepEqual(ours, sentByNft(script).map(messageTree));
}

const FRAME: readonly Command[] = [
	{ do: "add table", table: { ...IP, comment: "of the test" } },
	{
		do: "add chain",
		table: IP,
		chain: {
			name: "c",
			base: { type: "filter", hook: "prerouting", priority: -300, policy: "accept" },
			comment: "first",
		},
	},
	{ do: "add chain", table: IP, chain: { name: "other" } },
	{ do: "add table", table: IP6 },
	{ do: "add chain", table: IP6, chain: { name: "c" } },
];
const FRAME_SCRIPT = `
add table ip t { comment "of the test"; }
add chain ip t c { type filter hook prerouting priority -300; policy accept; comment "first"; }
add chain ip t other
add table ip6 t
add chain ip6 t c
`;

const MAP: SetSpec = {
	name: "m",
	key: { type: integerType(1), typeof: { base: "network", offset: 8, length: 8 } },
	data: { type: dataType("ipv4_addr"), typeof: namedPlace("ip daddr") },
	size: 64,
	counters: true,
	comment: "by DSCP",
};
const address = Uint8Array.of(10, 0, 0, 1);
const address6 = Uint8Array.from([0xfc, ...new Array<number>(14).fill(0), 1]);

/** A rule's expressions, and the same rule in nft's syntax. */
const RULES: readonly (readonly [
	table: typeof IP | typeof IP6,
	script: string,
	expressions: readonly Expression[],
])[] = [
	[IP, "ip dscp != 0", match(field("ip dscp"), "!=", 0)],
	[IP, "ip dscp 5", match(field("ip dscp"), "==", 5)],
	[IP, "ip ecn 2", match(field("ip ecn"), "==", 2)],
	[IP, "ip version 0", match(field("ip version"), "==", 0)],
	[IP, "ip hdrlength != 5", match(field("ip hdrlength"), "!=", 5)],
	[IP, "ip length < 38", match(field("ip length"), "<", 38)],
	[IP, "ip length 40-90", match(field("ip length"), "==", { first: 40, last: 90 })],
	[IP, "ip length != 40-90", match(field("ip length"), "!=", { first: 40, last: 90 })],
	[IP, "ip frag-off & 0x1fff != 0", match(masked(field("ip frag-off"), 0x1fff), "!=", 0)],
	[IP, "ip ttl > 9", match(field("ip ttl"), ">", 9)],
	[IP, "ip saddr 10.0.0.1", match(field("ip saddr"), "==", address)],
	[
		IP,
		"ip saddr 10.1.0.0/16",
		match(field("ip saddr"), "==", { prefix: Uint8Array.of(10, 1, 0, 0), length: 16 }),
	],
	[
		IP,
		"ip daddr != 10.4.0.0/14",
		match(field("ip daddr"), "!=", { prefix: Uint8Array.of(10, 4, 0, 0), length: 14 }),
	],
	[IP, "@nh,8,8 & 0x3f == 16", match(masked(rawField("network", 8, 8), 0x3f), "==", 16)],
	[IP, "@th,8,24 >= 0", match(rawField("transport", 8, 24), ">=", 0)],
	[IP, "meta l4proto 6", match(meta("l4proto"), "==", 6)],
	[
		IP,
		"meta l4proto != { 6, 58, 136 }",
		match(meta("l4proto"), "!=", { anyOf: [6, 58, 136].map((one) => ({ first: one, last: one })) }),
	],
	[
		IP,
		"th dport { 80, 443, 8000-8010 }",
		match(field("th dport"), "==", {
			anyOf: [
				{ first: 80, last: 80 },
				{ first: 443, last: 443 },
				{ first: 8000, last: 8010 },
			],
		}),
	],
	[
		IP,
		"th dport { 0-79, 81-65535 }",
		match(field("th dport"), "==", {
			anyOf: [
				{ first: 0, last: 79 },
				{ first: 81, last: 65535 },
			],
		}),
	],
	[IP, "meta mark 7", match(meta("mark"), "==", 7)],
	[IP, "meta mark & 0xff != 1", match(masked(meta("mark"), 0xff), "!=", 1)],
	[IP, 'meta iifname "eth0"', match(meta("iifname"), "==", { name: "eth0", wildcard: false })],
	[IP, 'meta oifname != "eth*"', match(meta("oifname"), "!=", { name: "eth", wildcard: true })],
	[IP, "ether saddr 02:00:00:00:00:01", match(field("ether saddr"), "==", Uint8Array.of(2, 0, 0, 0, 0, 1))],
	[IP, "fib daddr type local", match(fibType(["daddr"]), "==", 2)],
	[IP, "counter packets 5 bytes 6", [counter(5n, 6n)]],
	[IP, "accept", [verdict("accept")]],
	[IP, "drop", [verdict("drop")]],
	[IP, "continue", [verdict("continue")]],
	[IP, "return", [verdict("return")]],
	[IP, "jump other", [jump("other")]],
	[IP, "goto other", [goTo("other")]],
	[IP, "ip daddr set 10.0.0.1", assign(field("ip daddr"), address)],
	[IP, "ip dscp set 0", assign(field("ip dscp"), 0)],
	[IP, "ip dscp set 9", assign(field("ip dscp"), 9)],
	[IP, "@th,16,16 set 8080", assign(rawField("transport", 16, 16), 8080)],
	[
		IP,
		"ip daddr set @nh,8,8 & 0xfc map @m",
		assignFromMap(field("ip daddr"), masked(rawField("network", 8, 8), 0xfc), "m"),
	],
	[
		IP,
		'log prefix "raw X" group 5 snaplen 256',
		[{ kind: "log", prefix: "raw X", group: 5, snapLength: 256 }],
	],
	[
		IP,
		"limit rate 10/second burst 20 packets",
		[{ kind: "limit", type: "packets", rate: 10n, perSeconds: 1n, burst: 20, over: false }],
	],
	[IP6, "ip6 dscp 5", match(field("ip6 dscp"), "==", 5)],
	[IP6, "ip6 dscp set 5", assign(field("ip6 dscp"), 5)],
	[IP6, "ip6 nexthdr != 1-42", match(field("ip6 nexthdr"), "!=", { first: 1, last: 42 })],
	[
		IP6,
		"ip6 saddr fc00::/7",
		match(field("ip6 saddr"), "==", {
			prefix: Uint8Array.from([0xfc, ...new Array<number>(15).fill(0)]),
			length: 7,
		}),
	],
	[IP6, "ip6 daddr set fc00::1", assign(field("ip6 daddr"), address6)],
	[
		IP6,
		"@nh,192,128 set 0xfc000000000000000000000000000001",
		assign(rawField("network", 192, 128), address6),
	],
	[IP6, "rt seg-left != 0", match(extensionHeader(43, 3, 1), "!=", 0)],
	[
		IP,
		"meta l4proto 1 icmp type 8 ip daddr set jhash ip saddr . ip daddr . icmp id mod 2 seed 0x6c336473 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }",
		[
			...match(meta("l4proto"), "==", 1),
			...match(field("icmp type"), "==", 8),
			...assignFromMap(
				field("ip daddr"),
				jhash([field("ip saddr"), field("ip daddr"), field("icmp id")], 2, 0x6c336473),
				{
					key: { ...integerType(4), order: "host" },
					data: dataType("ipv4_addr"),
					elements: [1, 2].map((last) => ({
						key: Uint8Array.of(last - 1, 0, 0, 0),
						data: Uint8Array.of(10, 0, 0, last),
					})),
				},
			),
		],
	],
	[
		IP6,
		"exthdr frag exists ip6 daddr != { fc00::1, fc00::2 } meta mark set jhash ip6 saddr . frag id mod 4",
		[
			...match(hasExtensionHeader(44), "==", 1),
			...match(field("ip6 daddr"), "!=", {
				oneOf: [address6, Uint8Array.from([...address6.subarray(0, 15), 2])],
			}),
			...jhash([field("ip6 saddr"), extensionHeader(44, 4, 4)], 4).load,
			{ kind: "meta write", key: "mark", register: 1 },
		],
	],
];

describe("sends the same messages as nft(8) for", () => {
	it("tables, chains, maps and their elements", () => {
		const commands: Command[] = [
			...FRAME,
			{ do: "add set", table: IP, set: MAP },
			{
				do: "add elements",
				table: IP,
				set: MAP,
				elements: [
					{ key: Uint8Array.of(4), data: address, counter: { packets: 5n, bytes: 6n }, comment: "1024 x" },
				],
			},
		];
		assertSentAlike(
			commands,
			`${FRAME_SCRIPT}
			add map ip t m { typeof @nh,8,8 : ip daddr; size 64; counter; comment "by DSCP"; }
			add element ip t m { 4 counter packets 5 bytes 6 comment "1024 x" : 10.0.0.1 }`,
		);
	});

	for (const [table, script, expressions] of RULES) {
		it(`the rule "${script}"`, () => {
			const command: Command = {
				do: "add rule",
				table,
				chain: "c",
				rule: { expressions, comment: "its comment" },
			};
			assertSentAlike([command], `add rule ${table.family} t c ${script} comment "its comment"`);
		});
		it(`the printed form of the rule "${script}"`, () => {
			const command: Command = { do: "add rule", table, chain: "c", rule: { expressions } };
			assertSentAlike([command], printCommand(command));
		});
	}

	it("the conditions of tcp dport and the write to it, one after the other", () => {
		const tcp = match(meta("l4proto"), "==", 6);
		const expressions = [...tcp, ...assign(field("tcp dport"), 8080)];
		const command: Command = { do: "add rule", table: IP, chain: "c", rule: { expressions } };
		assertSentAlike([command], "add rule ip t c tcp dport set 8080");
		assertSentAlike([command], printCommand(command));
	});

	it("a set of ranges, and of verdicts", () => {
		const ports: SetSpec = { name: "ports", key: { type: dataType("inet_service") }, flags: ["interval"] };
		const verdicts: SetSpec = { name: "verdicts", key: { type: dataType("inet_service") }, data: "verdict" };
		assertSentAlike(
			[
				{ do: "add set", table: IP, set: ports },
				{ do: "add set", table: IP, set: verdicts },
				{
					do: "add elements",
					table: IP,
					set: verdicts,
					elements: [{ key: Uint8Array.of(0, 80), data: { verdict: "jump", chain: "other" } }],
				},
			],
			`add set ip t ports { type inet_service; flags interval; }
			add map ip t verdicts { type inet_service : verdict; }
			add element ip t verdicts { 80 : jump other }`,
		);
	});

	it("deletions, and a rule before and after another", () => {
		using nft = new Nftables();
		const handle = nft.read([IP]).tables[0]?.rules[0]?.handle ?? assert.fail("no rule");
		const rule = { expressions: [verdict("accept")] };
		assertSentAlike(
			[
				{ do: "add rule", table: IP, chain: "c", rule, before: handle },
				{ do: "add rule", table: IP, chain: "c", rule, after: handle },
				{ do: "delete rule", table: IP, chain: "c", handle },
				{ do: "delete elements", table: IP, set: MAP, elements: [{ key: Uint8Array.of(4) }] },
				{ do: "flush chain", table: IP, chain: "c" },
				{ do: "delete set", table: IP, set: "m" },
				{ do: "flush chain", table: IP, chain: "other" },
				{ do: "delete table", table: IP },
				{ do: "delete table", table: IP6 },
			],
			`insert rule ip t c handle ${handle} accept
			add rule ip t c handle ${handle} accept
			delete rule ip t c handle ${handle}
			delete element ip t m { 4 }
			flush chain ip t c
			delete map ip t m
			flush chain ip t other
			delete table ip t
			delete table ip6 t`,
		);
	});
});
