/** Rulesets of nft(8) survive reading, copying and printing unchanged. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { failOnLeaks } from "../../../test/support/leak.ts";
import { enterNetns, run } from "../../../test/support/netns.ts";
import { runs } from "../../../test/support/property-runs.ts";
import {
	copyTable,
	dataType,
	expressionKey,
	integerType,
	Nftables,
	namedPlace,
	printTable,
	type Rule,
	type SetElement,
	type SetSpec,
	sameTable,
	type TableContents,
} from "../src/index.ts";

enterNetns();
failOnLeaks();

const folder = mkdtempSync(join(tmpdir(), "nftables-"));
after(() => rmSync(folder, { recursive: true }));
const NUMBERS_AND_SETS = fileURLToPath(new URL("rulesets/numbers-and-sets.nft", import.meta.url));
const everything = readFileSync(new URL("rulesets/everything.nft", import.meta.url), "utf8");
const EVERYTHING = join(folder, "everything.nft");
/** nft 0.9.8 (Debian 11) has no words for counters of a map's elements, and forgets which field a key is; 1.0.6 does it. */
const KNOWS_COUNTED_MAPS = nftKnows("table ip t { map m { type mark : ipv4_addr; counter; }; }");
writeFileSync(EVERYTHING, KNOWS_COUNTED_MAPS ? everything : withoutCountedMaps(everything));

function nftKnows(ruleset: string): boolean {
	const file = join(folder, "asked.nft");
	writeFileSync(file, `${ruleset}\n`);
	const { status, error } = spawnSync("nft", ["-c", "-f", file]);
	if (error !== undefined) throw error;
	return status === 0;
}

function nftLoads(file: string): boolean {
	const { status, error } = spawnSync("nft", ["-f", file]);
	if (error !== undefined) throw error;
	return status === 0;
}

function withoutCountedMaps(ruleset: string): string {
	return ruleset
		.replace(/^(\s*map .*) counter;/gm, "$1")
		.replace(/(elements = \{ \S+) counter packets \d+ bytes \d+/g, "$1");
}

function readAll(): readonly TableContents[] {
	using nft = new Nftables();
	return nft.read().tables;
}

function assertSame(found: readonly TableContents[], wanted: readonly TableContents[]): void {
	for (const [index, table] of wanted.entries()) {
		const other = found[index];
		assert.ok(other !== undefined);
		const keys = ({ rules }: TableContents): string[][] =>
			rules.map(({ expressions }) => expressions.map(expressionKey));
		assert.deepEqual(keys(other), keys(table), `rules of ${table.family} ${table.name}`);
		assert.ok(sameTable(other, table), `${printTable(other)} differs from ${printTable(table)}`);
	}
	assert.equal(found.length, wanted.length);
}

/** nft prints the values of counters, which a copy does not keep. */
function withoutCounts(listing: string): string {
	return listing
		.replace(/packets \d+ bytes \d+/g, "packets 0 bytes 0")
		.replace(/ expires (\d+[dhms]+)+/g, " expires soon");
}

describe("a ruleset of nft(8)", () => {
	beforeEach(() => run("nft", "flush", "ruleset"));

	it("contains no expression that this package does not know", () => {
		run("nft", "-f", EVERYTHING);
		const rules = readAll().flatMap((table) => table.rules);
		assert.equal(rules.length, 33);
		for (const { expressions } of rules) {
			assert.deepEqual(
				expressions.filter(({ kind }) => kind === "other"),
				[],
			);
		}
	});

	for (const ruleset of [EVERYTHING, NUMBERS_AND_SETS]) {
		it(`is listed by nft as before after it is copied: ${basename(ruleset)}`, (context) => {
			if (!nftLoads(ruleset)) return context.skip("this nft does not know it");
			const tables = readAll();
			const listed = tables.map(({ family, name }) => run("nft", "-s", "list", "table", family, name));
			run("nft", "flush", "ruleset");
			using nft = new Nftables();
			nft.transact(tables.flatMap(copyTable));
			assertSame(readAll(), tables);
			const lines = (listing: string): string[] => withoutCounts(listing).split("\n").sort();
			for (const [index, { family, name }] of tables.entries()) {
				assert.deepEqual(lines(run("nft", "-s", "list", "table", family, name)), lines(listed[index] ?? ""));
			}
		});

		it(`is read by nft as before after it is printed: ${basename(ruleset)}`, (context) => {
			if (!KNOWS_COUNTED_MAPS || !nftLoads(ruleset)) return context.skip(SKIP);
			const tables = readAll();
			const file = join(folder, "printed.nft");
			writeFileSync(file, tables.map(printTable).join(""));
			run("nft", "flush", "ruleset");
			run("nft", "-f", file);
			assertSame(readAll(), tables);
		});
	}

	it("is refused by nft after it is printed, and can be copied, if this package has no words for a part", () => {
		const parts = [
			"meta mark set 1 ct mark set 5",
			"tcp flags syn tcp option maxseg size set 1400",
			"ip option rr ptr 3 accept",
			"limit rate 5/second quota over 5 mbytes drop",
			"masquerade",
		];
		for (const part of parts) {
			run("nft", "flush", "ruleset");
			run(
				"nft",
				`add table ip t; add chain ip t c { type nat hook postrouting priority 0; }; add rule ip t c ${part}`,
			);
			const [table] = readAll();
			assert.ok(table !== undefined);
			const printed = printTable(table);
			assert.match(printed, /\[ .* \]/, part);
			const file = join(folder, "unknown.nft");
			writeFileSync(file, printed);
			assert.notEqual(spawnSync("nft", ["-c", "-f", file]).status, 0, printed);
			using nft = new Nftables();
			nft.transact([{ do: "delete table", table }, ...copyTable(table)]);
			assert.ok(sameTable(readAll()[0] ?? assert.fail("no table"), table), part);
		}
	});

	it("says which objects it has that this package reads by name only", () => {
		run("nft", "add table ip t; add quota ip t q over 5 mbytes");
		assert.match(readAll().map(printTable).join(""), /^\t\[ quota q \]$/m);
	});

	const SKIP = `this is ${run("nft", "--version").trim()}, which knows less of maps`;
	const skip = !KNOWS_COUNTED_MAPS && SKIP;

	it("has its comments, counters, sizes, flags and owners", () => {
		run("nft", "-f", EVERYTHING);
		const table = readAll().find(({ family }) => family === "ip") ?? assert.fail("no table");
		const ports = table.sets.find(({ name }) => name === "ports")?.elements;
		const port = (number: number): Uint8Array => Uint8Array.of(number >> 8, number & 0xff);
		assert.deepEqual(ports, [
			{ key: port(22) },
			{ key: port(8000), last: port(8010) },
			{ key: port(65000), last: port(65535) },
		] satisfies SetElement[]);
		assert.deepEqual(table.objects, [
			{ type: "counter", name: "spare", counter: { packets: 3n, bytes: 4n } },
		]);
		const hello = table.rules.find(({ comment }) => comment === "hello");
		assert.ok(
			hello?.expressions.some((one) => one.kind === "counter" && one.packets === 1n && one.bytes === 2n),
		);
		assert.deepEqual(table.chains.find(({ name }) => name === "pre")?.base, {
			type: "filter",
			hook: "prerouting",
			priority: -300,
			policy: "accept",
		});
	});

	it("has the counters and fields of its maps", { skip }, () => {
		run("nft", "-f", EVERYTHING);
		const table = readAll().find(({ family }) => family === "ip") ?? assert.fail("no table");
		const map = table.sets.find(({ name }) => name === "m");
		assert.deepEqual(map?.elements, [
			{
				key: Uint8Array.of(4),
				data: Uint8Array.of(10, 0, 0, 1),
				counter: { packets: 5n, bytes: 6n },
				comment: "1024 x",
			},
		]);
		assert.equal(map?.size, 64);
		assert.equal(map?.counters, true);
		assert.deepEqual(map?.key.typeof, { base: "network", offset: 8, length: 8 });
		assert.equal(map?.data !== "verdict" && map?.data?.typeof?.name, "ip daddr");
	});

	it("has the names of matches and targets if iptables-nft created it", () => {
		run(
			"iptables-nft",
			"-t",
			"mangle",
			"-A",
			"PREROUTING",
			"-m",
			"dscp",
			"--dscp",
			"1",
			"-j",
			"DSCP",
			"--set-dscp",
			"2",
		);
		const rules: readonly Rule[] = readAll().flatMap((table) => table.rules);
		const kinds = rules.flatMap(({ expressions }) =>
			expressions.flatMap((one) =>
				one.kind === "match" || one.kind === "target" ? [`${one.kind} ${one.name}`] : [],
			),
		);
		assert.deepEqual(kinds, ["match dscp", "target DSCP"]);
	});

	it("is not copied if the copy would lose something", () => {
		run("nft", "add table ip t; add quota ip t s over 5 mbytes");
		const [table] = readAll();
		assert.ok(table !== undefined);
		assert.throws(() => copyTable(table), {
			name: "NftablesError",
			code: "UNSUPPORTED",
			message: /copy table ip t: s is/,
		});
	});
});

describe("elements", () => {
	it("of a map have the counters, comments and fields that they were added with", () => {
		run("nft", "flush", "ruleset");
		using nft = new Nftables();
		const table = { family: "ip", name: "t" } as const;
		const map = {
			name: "m",
			key: { type: integerType(1), typeof: { base: "network", offset: 8, length: 8 } },
			data: { type: dataType("ipv4_addr"), typeof: namedPlace("ip daddr") },
			counters: true,
			size: 64,
		} as const satisfies SetSpec;
		const elements: SetElement[] = [
			{
				key: Uint8Array.of(4),
				data: Uint8Array.of(10, 0, 0, 1),
				counter: { packets: 5n, bytes: 6n },
				comment: "1024 x",
			},
		];
		nft.transact([
			{ do: "add table", table },
			{ do: "add set", table, set: map },
			{ do: "add elements", table, set: map, elements },
		]);
		const { handle: _, ...read } = nft.read([table]).tables[0]?.sets[0] ?? assert.fail("no map");
		assert.deepEqual(read, { ...map, flags: [], elements });
	});

	it("are read as they were added, one by one and as ranges", () => {
		run("nft", "flush", "ruleset");
		using nft = new Nftables();
		const table = { family: "ip", name: "t" } as const;
		const key = { type: dataType("inet_service") };
		const bytes = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 0xff);
		const bounds = fc.uniqueArray(fc.integer({ min: 0, max: 0x7ffe }), { minLength: 2, maxLength: 12 });
		fc.assert(
			fc.property(bounds, (list) => {
				// Pairs with a gap between them, so that no two ranges touch.
				const sorted = list.sort((a, b) => a - b).map((one) => one * 2);
				const elements: SetElement[] = [];
				for (let at = 0; at + 1 < sorted.length; at += 2) {
					const [first = 0, last = 0] = sorted.slice(at, at + 2);
					elements.push({ key: bytes(first), last: bytes(last) });
				}
				const set = { name: "s", key, flags: ["interval"] } as const;
				nft.transact([
					{ do: "add table", table },
					{ do: "delete table", table },
					{ do: "add table", table },
					{ do: "add set", table, set },
					{ do: "add elements", table, set, elements },
				]);
				assert.deepEqual(nft.read([table]).tables[0]?.sets[0]?.elements, elements);
			}),
			{ numRuns: runs(60) },
		);
	});
});
