import assert from "node:assert/strict";
import { it } from "node:test";
import { failOnLeaks } from "../../../test/support/leak.ts";
import { enterNetns, run } from "../../../test/support/netns.ts";
import { type Command, field, match, Nftables, type RulesetEvent, RulesetMonitor } from "../src/index.ts";

enterNetns();
failOnLeaks();

/** All events up to the next generation. */
function nextChange(monitor: RulesetMonitor): RulesetEvent[] {
	const events: RulesetEvent[] = [];
	while (!events.some(({ kind }) => kind === "generation")) {
		assert.ok(monitor.wait(5000), "the monitor received no event");
		events.push(...monitor.read());
	}
	return events;
}

it("reports every object of a change, the new generation and the program that made it", () => {
	using monitor = new RulesetMonitor();
	using nft = new Nftables();
	assert.deepEqual(monitor.read(), []);
	run(
		"nft",
		'add table ip t; add chain ip t c; add rule ip t c ip dscp 5 counter comment "five"; add set ip t s { type ipv4_addr; }',
	);
	const events = nextChange(monitor);
	assert.deepEqual(
		events.map((event) => ("change" in event ? `${event.kind} ${event.change}` : event.kind)),
		["table added", "chain added", "rule added", "set added", "generation"],
	);
	const rule = events.find((event) => event.kind === "rule");
	assert.deepEqual(rule?.kind === "rule" && [rule.table, rule.rule.chain, rule.rule.comment], [
		{ family: "ip", name: "t" },
		"c",
		"five",
	]);
	const last = events.at(-1);
	assert.ok(last?.kind === "generation");
	assert.equal(last.generation, nft.generation());
	assert.equal(last.program, "nft");
	run("nft", "add element ip t s { 10.0.0.1 }");
	assert.deepEqual(nextChange(monitor)[0], {
		kind: "other",
		type: 0x0a0c,
		table: { family: "ip", name: "t" },
	});
	nft.transact([{ do: "delete table", table: { family: "ip", name: "t" } }]);
	const own = nextChange(monitor);
	assert.deepEqual(
		own.map((event) => ("change" in event ? `${event.kind} ${event.change}` : event.kind)),
		["rule deleted", "set deleted", "chain deleted", "table deleted", "generation"],
	);
});

it("reports the tables of a change alone if asked to", () => {
	using monitor = new RulesetMonitor({ detail: "tables" });
	using nft = new Nftables();
	const table = { family: "ip", name: "t" } as const;
	run(
		"nft",
		"add table ip t; add chain ip t c; add rule ip t c ip dscp 5 counter; add set ip t s { type ipv4_addr; }",
	);
	const events = nextChange(monitor);
	assert.deepEqual(
		events.map((event) => ("change" in event ? `${event.kind} ${event.change}` : event.kind)),
		["table added", "other", "other", "other", "generation"],
	);
	for (const event of events) if (event.kind === "other") assert.deepEqual(event.table, table);
	const last = events.at(-1);
	assert.equal(last?.kind === "generation" && last.program, "nft");
	nft.transact([{ do: "delete table", table }]);
	assert.deepEqual(
		nextChange(monitor).map((event) => ("change" in event ? `${event.kind} ${event.change}` : event.kind)),
		["other", "other", "other", "table deleted", "generation"],
	);
});

it("names the right table of each change, in whatever order they come", () => {
	using monitor = new RulesetMonitor({ detail: "tables" });
	using nft = new Nftables();
	const tables = [
		{ family: "ip", name: "t" },
		{ family: "ip6", name: "t" },
		{ family: "ip", name: "tt" },
		{ family: "ip", name: "t" },
		{ family: "ip", name: "t" },
		{ family: "arp", name: "u" },
	] as const;
	nft.transact(
		tables.flatMap((table, index): Command[] => [
			{ do: "add table", table },
			{ do: "add chain", table, chain: { name: `c${index}` } },
			{ do: "add chain", table, chain: { name: `d${index}` } },
		]),
	);
	const others = monitor.read().flatMap((event) => (event.kind === "other" ? [event.table] : []));
	assert.deepEqual(
		others,
		tables.flatMap((table) => [table, table]),
	);
	nft.transact([...new Set(tables)].slice(0, 3).map((table) => ({ do: "delete table", table })));
});

it("loses nothing of a table with thousands of rules that comes and goes at once", () => {
	using monitor = new RulesetMonitor({ detail: "tables" });
	using nft = new Nftables();
	const table = { family: "ip", name: "t" } as const;
	const comment = "a rule of a service, as long as such comments are".repeat(3);
	const rules = Array.from({ length: 4000 }, (_, port) => ({
		do: "add rule" as const,
		table,
		chain: "c",
		rule: { expressions: match(field("tcp dport"), "==", port), comment },
	}));
	nft.transact([{ do: "add table", table }, { do: "add chain", table, chain: { name: "c" } }, ...rules]);
	nft.transact([{ do: "delete table", table }]);
	const kinds = monitor.read().map(({ kind }) => kind);
	assert.equal(kinds.filter((kind) => kind === "lost").length, 0);
	assert.equal(kinds.filter((kind) => kind === "generation").length, 2);
	assert.equal(kinds.filter((kind) => kind === "other").length, 2 * 4001);
});
