import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { beforeEach, describe, it } from "node:test";
import { kernelHasTableOwners } from "../../../test/support/kernel.ts";
import { failOnLeaks } from "../../../test/support/leak.ts";
import { enterNetns, run } from "../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../test/support/node.ts";
import {
	type Command,
	dataType,
	type Expression,
	field,
	jump,
	match,
	Nftables,
	NftablesError,
	PreparedTransaction,
	verdict,
} from "../src/index.ts";

enterNetns();
failOnLeaks();

const table = { family: "ip", name: "t" } as const;
const MADE: readonly Command[] = [
	{ do: "add table", table },
	{ do: "add chain", table, chain: { name: "c" } },
];

function refusal(work: () => unknown): NftablesError {
	try {
		work();
	} catch (error) {
		assert.ok(error instanceof NftablesError, String(error));
		return error;
	}
	return assert.fail("nothing was refused");
}

describe("a transaction", () => {
	beforeEach(() => run("nft", "flush", "ruleset"));

	it("changes nothing if the kernel refuses one of its commands, and names that command", () => {
		using nft = new Nftables();
		const accept = { expressions: [verdict("accept")], comment: "to nowhere" };
		const error = refusal(() =>
			nft.transact([
				...MADE,
				{ do: "add rule", table, chain: "nowhere", rule: accept },
				{ do: "delete chain", table, chain: "c" },
			]),
		);
		assert.equal(error.code, "REFUSED");
		assert.equal(error.errno, "ENOENT");
		assert.equal(error.command, 2);
		assert.match(error.message, /^add a rule to chain ip t nowhere \("to nowhere"\): ENOENT/);
		assert.equal(run("nft", "list", "ruleset"), "");
	});

	it("says what to do next if a command of it is refused", () => {
		using nft = new Nftables();
		const refused = (...commands: readonly Command[]): NftablesError =>
			refusal(() => nft.transact([...MADE, ...commands]));
		const set = { name: "s", key: { type: dataType("ipv4_addr") }, size: 1 };
		const elements = [1, 2].map((last) => ({ key: Uint8Array.of(10, 0, 0, last) }));
		const full = refused({ do: "add set", table, set }, { do: "add elements", table, set, elements });
		assert.match(
			`${full.message}: ${full.hint}`,
			/^add elements to set ip t s: ENFILE .*: the set has as many elements/,
		);
		assert.match(refused({ do: "delete chain", table, chain: "x" }).hint ?? "", /^it is gone already/);
		const call = { expressions: [jump("d")] };
		const used = refused(
			{ do: "add chain", table, chain: { name: "d" } },
			{ do: "add rule", table, chain: "c", rule: call },
			{ do: "delete chain", table, chain: "d" },
		);
		assert.match(
			`${used.message}: ${used.hint}`,
			/^delete chain ip t d: EBUSY .*: delete the rules .* that use it/,
		);
		const many = Array.from({ length: 1000 }, (_, index): Command => {
			const chain = index === 500 || index === 700 ? `missing${index}` : "c";
			return { do: "add rule", table, chain, rule: { expressions: [verdict("accept")] } };
		});
		const first = refused(...many);
		assert.equal(first.command, MADE.length + 500);
		assert.match(first.message, /^add a rule to chain ip t missing500: ENOENT/);
		assert.match(first.hint ?? "", /^add what it refers to before it/);
	});

	it("can be encoded before it is sent, and sent again", () => {
		using nft = new Nftables();
		const prepared = new PreparedTransaction(MADE);
		for (let round = 0; round < 2; round++) {
			nft.send(prepared, { generation: nft.generation() });
			assert.equal(run("nft", "list", "ruleset"), "table ip t {\n\tchain c {\n\t}\n}\n");
			nft.transact([{ do: "delete table", table }]);
		}
		const before = nft.generation();
		nft.send(prepared);
		assert.equal(refusal(() => nft.send(prepared, { generation: before })).code, "CHANGED");
		const impossible = new PreparedTransaction([...MADE, { do: "delete chain", table, chain: "nowhere" }]);
		const { code, message } = refusal(() => nft.send(impossible));
		assert.equal(code, "REFUSED");
		assert.match(message, /^change the ruleset: ENOENT/);
		const unequal: Expression = {
			kind: "bitwise",
			operation: "mask",
			source: 8,
			register: 8,
			length: 4,
			mask: new Uint8Array(4),
			xor: new Uint8Array(2),
		};
		const invalid = new PreparedTransaction([
			...MADE,
			{
				do: "add rule",
				table,
				chain: "c",
				rule: { expressions: [{ kind: "meta", key: "mark", register: 8 }, unequal] },
			},
		]);
		assert.deepEqual(
			[refusal(() => nft.send(invalid))].map((one) => [one.code, one.errno]),
			[["REFUSED", "EINVAL"]],
		);
	});

	it("is refused with the part of the command that the kernel rejects", () => {
		using nft = new Nftables();
		nft.transact(MADE);
		const add = (expressions: readonly Expression[], chain = "c"): Command => ({
			do: "add rule",
			table,
			chain,
			rule: { expressions },
		});
		const dscp = match(field("ip dscp"), "!=", 0);
		const messages = [
			add([...dscp, verdict("accept")], "nowhere"),
			add([...dscp, jump("nowhere")]),
			add([...dscp, { kind: "lookup", set: "nothing", register: 1, negated: false }]),
			{ do: "delete set", table, set: "nothing" } as const,
		].map((command) => refusal(() => nft.transact([command])).message);
		assert.deepEqual(messages, [
			"add a rule to chain ip t nowhere: ENOENT (the kernel objects to its chain)",
			"add a rule to chain ip t c: ENOENT (the kernel objects to expression 4 (verdict))",
			"add a rule to chain ip t c: ENOENT (the kernel objects to expression 4 (lookup))",
			"delete set ip t nothing: ENOENT (the kernel objects to its name)",
		]);
	});

	it("is refused if the ruleset has another generation than expected", () => {
		using nft = new Nftables();
		nft.transact(MADE);
		const { generation } = nft.read([table]);
		run("nft", "add table ip somebody");
		const before = run("nft", "-a", "list", "ruleset");
		const error = refusal(() => nft.transact([{ do: "delete table", table }], { generation }));
		assert.equal(error.code, "CHANGED");
		assert.equal(run("nft", "-a", "list", "ruleset"), before);
		nft.transact([{ do: "delete table", table }], { generation: nft.generation() });
		assert.equal(nft.hasTable(table), false);
	});

	it("increases the generation by one, so that a second transaction can depend on it", () => {
		using nft = new Nftables();
		const { generation } = nft.read([]);
		nft.transact(MADE, { generation });
		nft.transact([{ do: "delete table", table }], { generation: generation + 1 });
		assert.equal(nft.generation(), generation + 2);
	});

	it("can hold ten thousand rules, and reports each refused rule", () => {
		using nft = new Nftables();
		const rules = Array.from({ length: 10_000 }, (_, port): Command => {
			const expressions = [...match(field("th dport"), "==", port), verdict("accept")];
			return { do: "add rule", table, chain: "c", rule: { expressions } };
		});
		nft.transact([...MADE, ...rules]);
		assert.equal(nft.read([table]).tables[0]?.rules.length, 10_000);
		const nowhere = rules.map((one): Command => ({ ...one, table: { family: "ip", name: "nowhere" } }));
		assert.equal(refusal(() => nft.transact(nowhere)).command, 0);
	});

	it("is not needed to know what the kernel supports, and changes nothing if it is used to ask", () => {
		using nft = new Nftables();
		const before = run("nft", "-a", "list", "ruleset");
		assert.equal(nft.supports("element counters"), true);
		assert.equal(nft.supports("element counters", { ask: true }), true);
		assert.equal(run("nft", "-a", "list", "ruleset"), before);
	});

	it("without commands sends nothing to the kernel", () => {
		using nft = new Nftables();
		const before = nft.generation();
		nft.transact([]);
		assert.equal(nft.generation(), before);
	});

	it("is refused before anything is sent if a value does not fit", () => {
		using nft = new Nftables();
		const rule = { expressions: [verdict("accept")], comment: "x".repeat(300) };
		assert.throws(() => nft.transact([...MADE, { do: "add rule", table, chain: "c", rule }]), RangeError);
		const chain = {
			name: "d",
			base: { type: "filter", hook: "egress", priority: 0, policy: "accept" },
		} as const;
		assert.throws(
			() => nft.transact([...MADE, { do: "add chain", table, chain }]),
			/family ip has no hook egress/,
		);
		assert.equal(run("nft", "list", "ruleset"), "");
	});
});

describe("reading", () => {
	it("reads a table in one consistent state while another is reloaded without a pause", async () => {
		run("nft", "flush", "ruleset");
		using nft = new Nftables();
		const rules = Array.from({ length: 500 }, (_, port): Command => {
			const expressions = [...match(field("th dport"), "==", port), verdict("accept")];
			return { do: "add rule", table, chain: "c", rule: { expressions } };
		});
		nft.transact([...MADE, ...rules]);
		const reload = "table ip other; delete table ip other; table ip other { chain c { accept; }; }";
		const loop = spawn("sh", ["-c", `while nft '${reload}'; do :; done`], { detached: true });
		try {
			const before = nft.generation();
			for (let count = 0; count < 10; count++) {
				const { tables, generation } = nft.read([table]);
				assert.equal(tables[0]?.rules.length, 500);
				// The generation was in force during the reading.
				assert.ok(generation >= before && generation <= nft.generation());
			}
			assert.ok(nft.generation() > before, "nothing else changed the ruleset");
		} finally {
			if (loop.pid !== undefined) process.kill(-loop.pid, "SIGKILL");
			await once(loop, "close");
		}
	});
});

describe("a table with an owner", () => {
	const skip = !kernelHasTableOwners() && "this kernel knows no owners";

	it("is deleted when the socket that created it closes, and nothing else can change it before", {
		skip,
	}, () => {
		const owned = { family: "ip", name: "owned", flags: ["owner"] } as const;
		using other = new Nftables();
		{
			using nft = new Nftables();
			nft.transact([{ do: "add table", table: owned }]);
			assert.equal(other.hasTable(owned), true);
			const error = refusal(() => other.transact([{ do: "delete table", table: owned }]));
			assert.equal(error.code, "PERMISSION");
		}
		assert.equal(other.hasTable(owned), false);
	});
});

describe("a process without privileges", () => {
	it("gets an error that tells it to run as root", () => {
		const script = `
			import { Nftables } from "@l3dsr/nftables";
			try { using nft = new Nftables(); nft.transact([{ do: "add table", table: { family: "ip", name: "t" } }]); }
			catch (error) { console.log(error.name, error.code, error.hint); }`;
		const { stdout, stderr } = spawnSync(
			"setpriv",
			[
				"--reuid=65534",
				"--regid=65534",
				"--clear-groups",
				"--inh-caps=-all",
				process.execPath,
				...FROM_SOURCE,
				"--input-type=module-typescript",
				"-e",
				script,
			],
			{ encoding: "utf8", cwd: import.meta.dirname },
		);
		assert.equal(stdout, "NftablesError PERMISSION run it as root\n", stderr);
	});
});
