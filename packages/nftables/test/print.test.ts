import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
	addressText,
	assign,
	dataType,
	field,
	match,
	meta,
	printCommand,
	printRule,
	verdict,
} from "../src/index.ts";

describe("a printed rule", () => {
	it("cannot move a terminal's cursor or end a string early", () => {
		const rule = { expressions: [verdict("accept")], comment: '\u001b[2J"; drop\n\u202e' };
		assert.equal(printRule(rule, "ip"), 'accept comment "?[2J?; drop??"');
		const table = { family: "ip", name: "t\u001b[1A" } as const;
		assert.equal(printCommand({ do: "delete table", table }), "delete table ip t?[1A");
	});

	it("names fields by the protocol that the rule has matched before", () => {
		const port = match(field("th dport"), "==", 80);
		const address = match(field("ip daddr"), "==", Uint8Array.of(192, 0, 2, 1));
		assert.equal(printRule({ expressions: address }, "inet"), "@nh,128,32 3221225985");
		const ipv4 = match(meta("nfproto"), "==", 2);
		assert.equal(
			printRule({ expressions: [...ipv4, ...address] }, "inet"),
			"meta nfproto ipv4 ip daddr 192.0.2.1",
		);
		const write = assign(field("tcp dport"), 8080);
		assert.equal(printRule({ expressions: [...port, ...write] }, "ip"), "th dport 80 @th,16,16 set 8080");
		const tcp = match(meta("l4proto"), "==", 6);
		assert.equal(printRule({ expressions: [...tcp, ...write] }, "ip"), "meta l4proto tcp tcp dport set 8080");
		assert.equal(
			printRule({ expressions: [...tcp, ...port, ...write] }, "ip"),
			"tcp dport 80 tcp dport set 8080",
		);
	});

	it("writes to UDP with its checksum, whichever way nft asked for that, or without it", () => {
		const udp = match(meta("l4proto"), "==", 17);
		const write = assign(field("udp dport"), 80);
		const text = (change: { readonly checksum?: number; readonly pseudoHeader?: boolean }): string => {
			const expressions = write.map((one) => {
				if (one.kind !== "payload write") return one;
				const { checksum: _, ...bare } = one;
				return { ...bare, ...change };
			});
			return printRule({ expressions: [...udp, ...expressions] }, "ip");
		};
		assert.equal(text({ checksum: 6 }), "meta l4proto udp udp dport set 80");
		assert.equal(text({ pseudoHeader: true }), "meta l4proto udp udp dport set 80");
		assert.equal(text({}), "meta l4proto udp @th,16,16 set 80");
	});

	it("shows IPv6 addresses in the form of RFC 5952", () => {
		const text = (...words: readonly number[]): string =>
			addressText(Uint8Array.from(words.flatMap((word) => [word >> 8, word & 0xff])));
		assert.equal(text(0, 0, 0, 0, 0, 0, 0, 0), "::");
		assert.equal(text(0, 0, 0, 0, 0, 0, 0, 1), "::1");
		assert.equal(text(0x2001, 0xdb8, 0, 0, 1, 0, 0, 1), "2001:db8::1:0:0:1");
		assert.equal(text(0x2001, 0xdb8, 0, 1, 1, 1, 1, 1), "2001:db8:0:1:1:1:1:1");
		assert.equal(text(1, 0, 0, 0, 0, 0, 0, 0), "1::");
	});

	it("shows elements with their ranges, counters, comments and data", () => {
		const set = { name: "s", key: { type: dataType("inet_service") }, data: "verdict" } as const;
		const elements = [
			{
				key: Uint8Array.of(0, 80),
				last: Uint8Array.of(0, 90),
				comment: "web",
				counter: { packets: 1n, bytes: 2n },
				data: { verdict: "drop" },
			},
			{ data: { verdict: "goto", chain: "rest" } },
		] as const;
		assert.equal(
			printCommand({ do: "add elements", table: { family: "ip", name: "t" }, set, elements }),
			'add element ip t s { 80-90 counter packets 1 bytes 2 comment "web" : drop, * : goto rest }',
		);
	});
});
