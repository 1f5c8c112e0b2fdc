import assert from "node:assert/strict";
import { test } from "node:test";
import { addressFromBytes, dscp } from "@l3dsr/packet";
import { L3dsrError } from "../../src/errors.ts";
import type { Rule } from "../../src/model/rule.ts";
import type { Service } from "../../src/model/service.ts";
import type { Step } from "../../src/plan/host-state.ts";
import { ReconcileError } from "../../src/reconcile/failure.ts";
import { reconcile } from "../../src/reconcile/reconcile.ts";
import { editTarget } from "../../src/reconcile/rule-edit.ts";
import { startTarget, stopTarget } from "../../src/reconcile/start-stop.ts";
import { parseRuleSpec } from "../../src/syntax/iptables/rule-parser.ts";
import { MemoryHost } from "./memory-host.ts";

const CHAIN = { family: "ipv4", table: "raw", chain: "PREROUTING" } as const;
const CHANGED = new L3dsrError({ code: "DATAPATH_CHANGED", message: "others changed the rules" });

function rule(code: number): Rule {
	return parseRuleSpec(`-m dscp --dscp ${code} -j DADDR --set-daddr 192.0.2.${code}`, CHAIN);
}

function append(code: number) {
	return editTarget((editor) => editor.apply(CHAIN, { kind: "append", rules: [rule(code)] }));
}

function service(code: number): Service {
	const vip = addressFromBytes([192, 0, 2, code]);
	return { name: vip.text, vip, selection: { dscp: dscp(code) }, clearDscp: false };
}

const START = { table: "raw", insert: false } as const;
const silent = { onStep: (): void => {} };

function codes(host: MemoryHost): string[] {
	return host.rules.map(({ rule: { target } }) => target.daddr.text);
}

async function failureOf(work: Promise<unknown>): Promise<ReconcileError> {
	try {
		await work;
	} catch (error) {
		assert(error instanceof ReconcileError, String(error));
		return error;
	}
	throw new Error("it did not fail");
}

function kinds(steps: readonly Step[] | undefined): string[] {
	return (steps ?? []).map(({ kind }) => kind);
}

test("a host with nothing to do is read once; a changed one is read once before and once after", async () => {
	const host = new MemoryHost();
	const target = startTarget(host, [service(7)], START);
	await reconcile(host, host, [target], silent);
	assert.deepEqual(host.log, ["observe", "add 192.0.2.7", "change to 1 rules", "observe"]);
	host.log.length = 0;
	const [plan] = await reconcile(host, host, [target], silent);
	assert.deepEqual(plan?.steps, []);
	assert.deepEqual(host.log, ["observe"]);
});

test("targets follow one another, and the reading after one is the reading before the next", async () => {
	const host = new MemoryHost();
	await reconcile(host, host, [startTarget(host, [service(7)], START)], silent);
	host.log.length = 0;
	await reconcile(
		host,
		host,
		[stopTarget([service(7)], false), startTarget(host, [service(7)], START)],
		silent,
	);
	assert.equal(host.log.filter((entry) => entry === "observe").length, 3);
	assert.deepEqual(codes(host), ["192.0.2.7"]);
});

test("an edit whose rules are missing from the kernel afterwards is undone, and the rest is reported", async () => {
	const host = new MemoryHost();
	await reconcile(host, host, [append(1)], silent);
	let changes = 0;
	host.onChange = () => {
		// The first change drops the rule that was there, as another program might at the same moment.
		if (++changes === 1) host.rules = [];
		host.obedient = changes > 6;
	};
	const error = await failureOf(reconcile(host, host, [append(2)], silent));
	assert(error.failure.kind === "unreached");
	assert.deepEqual(kinds(error.failure.left), ["rules"]);
	assert.deepEqual(kinds(error.undoing?.steps), ["rules"]);
	assert.equal(error.undoing?.error, undefined);
	assert.deepEqual(codes(host), ["192.0.2.1"]);
});

test("a failed step is undone with those before it, the last one first", async () => {
	const host = new MemoryHost();
	let refused = false;
	host.onChange = () => {
		if (refused) return;
		refused = true;
		throw new Error("no more memory");
	};
	const error = await failureOf(reconcile(host, host, [startTarget(host, [service(7)], START)], silent));
	assert(error.failure.kind === "failed");
	assert.match(String(error.failure.error), /no more memory/);
	assert.deepEqual(kinds(error.undoing?.steps), ["remove-address"]);
	assert.deepEqual(host.addresses, []);
});

test("an error of the undo is kept beside the failure", async () => {
	const host = new MemoryHost();
	host.onChange = () => {
		host.changeLoopback = () => Promise.reject(new Error("the interface is gone"));
		throw new Error("no more memory");
	};
	const error = await failureOf(reconcile(host, host, [startTarget(host, [service(7)], START)], silent));
	assert.match(String(error.cause), /no more memory/);
	assert.match(String(error.undoing?.error), /the interface is gone/);
});

test("an edit is planned again after changes by others, and is made once", async () => {
	const host = new MemoryHost();
	let overtaken = 0;
	host.onChange = () => {
		if (overtaken++ > 0) return;
		host.rules = [{ rule: rule(9), ordinal: 5, counters: { packets: 3n, bytes: 99n }, datapath: "nft" }];
		throw CHANGED;
	};
	await reconcile(host, host, [append(2)], silent);
	assert.deepEqual(codes(host), ["192.0.2.9", "192.0.2.2"]);
	assert.equal(host.rules[0]?.counters.packets, 3n);
});

test("if others never stop changing the rules, the edit fails with that reason", async () => {
	const host = new MemoryHost();
	host.onChange = () => {
		throw CHANGED;
	};
	const { failure } = await failureOf(reconcile(host, host, [append(2)], silent));
	assert(failure.kind === "failed");
	assert.equal(failure.error, CHANGED);
	assert.deepEqual(codes(host), []);
});

test("an impossible edit changes nothing, and its error is passed on", async () => {
	const host = new MemoryHost();
	const target = editTarget((editor) => editor.apply(CHAIN, { kind: "delete-rule", rules: [rule(1)] }));
	await assert.rejects(reconcile(host, host, [target], silent), { code: "RULE_NOT_FOUND" });
	assert.deepEqual(host.log, ["observe"]);
});

test("damage is repaired along with an edit; damage that stays does not fail the edit", async () => {
	const host = new MemoryHost();
	const finding = {
		datapath: "nft",
		kind: "damage",
		object: "table ip l3dsr",
		problem: "has a chain x",
	} as const;
	host.findings = [finding];
	await reconcile(host, host, [append(1)], silent);
	assert.deepEqual(host.findings, []);
	host.findings = [finding];
	host.onChange = () => queueMicrotask(() => (host.findings = [finding]));
	await reconcile(host, host, [append(2)], silent);
	assert.deepEqual(codes(host), ["192.0.2.1", "192.0.2.2"]);
});

test("findings are reported even if nothing can be planned", async () => {
	const host = new MemoryHost();
	host.findings = [{ datapath: "nft", kind: "damage", object: "table ip l3dsr", problem: "is asleep" }];
	const heard: string[] = [];
	const missing = editTarget((editor) => editor.apply(CHAIN, { kind: "delete-rule", rules: [rule(7)] }));
	const onFound = ({ state }: { readonly state: { readonly findings: readonly { object: string }[] } }) =>
		heard.push(...state.findings.map(({ object }) => object));
	await assert.rejects(reconcile(host, host, [missing], { ...silent, onFound }), { name: "L3dsrError" });
	assert.deepEqual(heard, ["table ip l3dsr"]);
});
