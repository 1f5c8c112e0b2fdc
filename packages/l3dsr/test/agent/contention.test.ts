/** Two managers that fight are noticed, and slowed down. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
	type Contention,
	contentionDelay,
	contestable,
	NO_CONTENTION,
	noteRepair,
	QUIET_MS,
	quietSince,
} from "../../src/agent/contention.ts";
import { type Finding, MADE_FOR_OTHER_ADDRESSES } from "../../src/model/finding.ts";

const VIP = "192.0.2.10 on lo is not there";

/** Repairs at these times; returns the messages, and the final state. */
function repairs(
	times: readonly number[],
	subject: (at: number) => string = () => VIP,
): { contention: Contention; said: { at: number; repairs: number; delayMs: number }[] } {
	let contention = NO_CONTENTION;
	const said: { at: number; repairs: number; delayMs: number }[] = [];
	for (const at of times) {
		const noted = noteRepair(contention, at, [subject(at)]);
		contention = noted.contention;
		const { began } = noted;
		if (began !== undefined) said.push({ at, repairs: began.repairs, delayMs: began.delayMs });
	}
	return { contention, said };
}

const every = (ms: number, count: number) => Array.from({ length: count }, (_, n) => n * ms);

test("seven faults of the same thing within a minute are each repaired at once", () => {
	const { contention, said } = repairs(every(5000, 7));
	assert.deepEqual(said, []);
	assert.equal(contentionDelay(contention, 30_000), 0);
});

test("the eighth repair of the same thing within a minute is reported, once", () => {
	const { said } = repairs(every(200, 20));
	assert.deepEqual(said, [{ at: 1400, repairs: 8, delayMs: 1000 }]);
});

test("a manager that returns every 45 seconds is noticed", () => {
	const { said } = repairs(every(45_000, 14));
	assert.deepEqual(
		said.map(({ at, repairs }) => [at, repairs]),
		[[495_000, 12]],
	);
});

test("a manager that returns every two minutes is always repaired at once", () => {
	const { contention, said } = repairs(every(120_000, 100));
	assert.deepEqual([said, contentionDelay(contention, 99 * 120_000)], [[], 0]);
});

test("breaking different things does not count as a fight", () => {
	const { said } = repairs(every(100, 200), (at) => `a rule of s${at} is missing`);
	assert.deepEqual(said, []);
});

test("each further repair waits twice as long, up to half a minute", () => {
	let { contention } = repairs(every(100, 8));
	let now = 700;
	const delays: number[] = [];
	for (let round = 0; round < 8; round++) {
		const delay = contentionDelay(contention, now);
		delays.push(delay);
		now += delay;
		contention = noteRepair(contention, now, [VIP]).contention;
	}
	assert.deepEqual(delays, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
});

test("uncontested repairs do not prolong the contention, and it ends after a quiet time", () => {
	const { contention } = repairs(every(100, 8));
	const other = noteRepair(contention, 900, ["a rule of dns is missing"]);
	assert.equal(contentionDelay(other.contention, 900), 800);
	assert.equal(quietSince(other.contention, 700 + QUIET_MS - 1), undefined);
	assert.equal(quietSince(other.contention, 700 + QUIET_MS), QUIET_MS);
});

test("the memory of past repairs is bounded", () => {
	const { contention } = repairs(every(1, 5000), (at) => `thing ${at}`);
	assert(contention.repairs.size <= 1000);
	const later = noteRepair(contention, 10_000_000, [VIP]).contention;
	assert.equal(later.repairs.size, 1);
});

test("an interface or an address that comes and goes is not another manager", () => {
	const followed: readonly Finding[] = [
		{ kind: "network", object: "table arp l3dsr", problem: MADE_FOR_OTHER_ADDRESSES },
		{ kind: "misplaced", object: "a rule of web", problem: "runs on nft but belongs on ebpf" },
	];
	const fought: Finding = { kind: "rule-missing", object: "a rule of web", problem: "is missing" };
	assert.deepEqual(contestable([...followed, fought]), ["a rule of web is missing"]);
	let contention = NO_CONTENTION;
	for (const at of every(100, 100)) {
		const noted = noteRepair(contention, at, contestable(followed));
		assert.equal(noted.began, undefined);
		contention = noted.contention;
	}
	assert.equal(contentionDelay(contention, 10_000), 0);
});
