/** Records: their order, their text, and their JSON form. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { MESSAGE_ID } from "../../src/agent/journal.ts";
import type { AgentRecord, HealthChange, NewRecord } from "../../src/agent/record.ts";
import { RecordLog } from "../../src/agent/record-log.ts";
import { recordLines } from "../../src/agent/record-text.ts";
import { KEPT_RECORDS } from "../../src/model/recent.ts";

const NOON = new Date("2026-03-01T12:00:00.000Z");

const repaired: NewRecord = {
	kind: "repaired",
	triggers: ["address"],
	cause: {
		kind: "vip-addresses",
		suspects: ["a command typed by hand"],
		by: { process: 812, program: "keepalived" },
	},
	drift: [{ kind: "address-missing", object: "192.0.2.10 on lo", problem: "is not there" }],
	steps: [
		{
			kind: "add-address",
			subjects: ["192.0.2.10"],
			commands: ["ip address add 192.0.2.10/32 dev lo label lo:1"],
		},
	],
	warnings: [],
	tookMs: 45.4,
	verifiedMs: 71.2,
};

test("records have numbers and the wall clock's time, and reach each subscriber in order", () => {
	const log = new RecordLog(() => NOON);
	const heard: number[][] = [[], []];
	const [first] = heard.map((ids) => log.subscribe(({ id }) => ids.push(id)));
	log.write(repaired);
	first?.[Symbol.dispose]();
	log.write({ kind: "stopped", signal: "SIGTERM" });
	assert.deepEqual(heard, [[1], [1, 2]]);
	assert.deepEqual(
		log.records().map(({ id, kind, time, severity }) => ({ id, kind, time, severity })),
		[
			{ id: 1, kind: "repaired", time: "2026-03-01T12:00:00.000Z", severity: "notice" },
			{ id: 2, kind: "stopped", time: "2026-03-01T12:00:00.000Z", severity: "info" },
		],
	);
	assert.deepEqual(
		log.records(1).map(({ id }) => id),
		[2],
	);
});

test("the published schema names each kind of record", () => {
	const path = new URL("../../../../docs/reference/records.schema.json", import.meta.url);
	const { description } = JSON.parse(readFileSync(path, "utf8")).$defs.Event.properties.kind;
	const [named = ""] = description.split(";", 1);
	assert.deepEqual(named.split(", ").sort(), Object.keys(MESSAGE_ID).sort());
});

test("only the latest records are kept: so many, and of so many characters", () => {
	const log = new RecordLog(() => NOON);
	for (let index = 0; index < KEPT_RECORDS.count + 5; index++)
		log.write({ kind: "stopped", signal: "SIGTERM" });
	const ids = log.records().map(({ id }) => id);
	assert.deepEqual([ids.length, ids[0], ids.at(-1)], [KEPT_RECORDS.count, 6, KEPT_RECORDS.count + 5]);
	const sizes = () => log.records().map((record) => JSON.stringify(record).length);
	const half = { ...repaired, warnings: ["x".repeat(KEPT_RECORDS.size / 2 - 10_000)] };
	log.write(half);
	log.write(half);
	assert.ok(sizes().reduce((sum, one) => sum + one, 0) <= KEPT_RECORDS.size);
	assert.equal(log.records().length > 2, true, "what has room beside them stays");
	log.write({ ...repaired, warnings: ["x".repeat(2 * KEPT_RECORDS.size)] });
	assert.equal(log.records().length, 1, "the latest stays, whatever its size");
});

test("a record is the same after it was written and read as JSON", () => {
	const record = new RecordLog(() => NOON).write(repaired);
	assert.deepEqual(JSON.parse(JSON.stringify(record)), record);
});

test("the text of a repair names the finding, who caused it, and the steps", () => {
	assert.deepEqual(textOf(repaired), [
		"repaired in 45 ms: 192.0.2.10 on lo is not there",
		"changed by: keepalived, process 812",
		"likely cause: a command typed by hand",
		"done: ip address add 192.0.2.10/32 dev lo label lo:1",
	]);
});

test("the text of a repair of a thousand services has a few dozen lines", () => {
	const many = Array.from({ length: 1000 }, (_, index) => ({
		kind: "rule-missing" as const,
		object: `a rule of s${index}`,
		problem: "is missing",
	}));
	const lines = textOf({ ...repaired, drift: many });
	assert.equal(lines[0], "repaired in 45 ms: a rule of s0 is missing (and 999 more)");
	assert.ok(lines.includes("… and 980 more"), lines.join("\n"));
	assert.ok(lines.length < 30);
});

test("a refused configuration names the one in force, and why the new one cannot be used", () => {
	const lines = textOf({
		kind: "configuration-refused",
		configuration: "/etc/l3dsr/l3dsr.yaml",
		errors: [{ code: "CONFIG_MISSING", message: "it names no services", hint: "write services: []" }],
		keptSince: "2026-03-01T11:00:00.000Z",
		keptServices: 1,
	});
	assert.deepEqual(lines, [
		"/etc/l3dsr/l3dsr.yaml cannot be used and changes nothing: the configuration read at 2026-03-01T11:00:00.000Z (1 service) stays in force",
		"error[CONFIG_MISSING]: it names no services",
		"hint: write services: []",
	]);
});

const DOWN: HealthChange = {
	pool: "front",
	real: "a2",
	address: "10.1.0.12",
	vip: "192.0.2.10",
	port: 443,
	type: "tcp",
	healthy: false,
	isNew: false,
	reason: "refused by the VIP",
	previousMs: 5000,
};

test("a change of health names the real server, the check, and the reason", () => {
	assert.deepEqual(textOf({ kind: "health", changes: [DOWN] }), [
		"front/a2 (10.1.0.12) fails its tcp check at 192.0.2.10 port 443: refused by the VIP",
	]);
	const { reason: _, port: _port, ...rest } = DOWN;
	assert.deepEqual(textOf({ kind: "health", changes: [{ ...rest, type: "icmp", healthy: true }] }), [
		"front/a2 (10.1.0.12) passes its icmp check at 192.0.2.10 again, after 5 s",
	]);
});

test("a new real server is reported as new, whether or not it passes its check", () => {
	assert.deepEqual(textOf({ kind: "health", changes: [{ ...DOWN, isNew: true }] }), [
		"front/a2 (10.1.0.12) fails its tcp check at 192.0.2.10 port 443: refused by the VIP (it is new, and gets no flows until its first success)",
	]);
	assert.deepEqual(textOf({ kind: "health", changes: [{ ...DOWN, healthy: true, isNew: true }] }), [
		"front/a2 (10.1.0.12) passes its tcp check at 192.0.2.10 port 443 for the first time, and gets flows",
	]);
});

test("simultaneous changes of health are counted in the headline", () => {
	const lines = textOf({
		kind: "health",
		changes: [DOWN, { ...DOWN, healthy: true }, { ...DOWN, real: "a3" }],
	});
	assert.equal(lines[0], "2 checks of real servers fail, 1 check of real servers succeeds");
	assert.equal(lines.length, 4);
	assert.equal(
		textOf({ kind: "health", changes: Array.from({ length: 1000 }, () => DOWN) }).length,
		21,
		"a thousand are a short text",
	);
});

function textOf(record: NewRecord): string[] {
	const whole: AgentRecord = new RecordLog(() => NOON).write(record);
	return recordLines(whole);
}
