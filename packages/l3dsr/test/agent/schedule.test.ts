/** When the agent runs, by a clock that the test sets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TRIGGERS, type Trigger } from "../../src/agent/record.ts";
import {
	CHECK_MS,
	finishRun,
	newSchedule,
	nextRunAt,
	noteTrigger,
	type RunEnd,
	type Schedule,
	startRun,
} from "../../src/agent/schedule.ts";

const WELL: RunEnd = { failed: false, usedMs: 10, contentionMs: 0 };

/** After a first run that began and ended at `now`. */
function rested(now: number, end: Partial<RunEnd> = {}): Schedule {
	return finishRun(startRun(newSchedule(now), now).schedule, now, { ...WELL, usedMs: 0, ...end });
}

test("a start runs at once, and the next run comes a minute later", () => {
	const schedule = newSchedule(1000);
	assert(nextRunAt(schedule) <= 1100);
	assert.deepEqual(startRun(schedule, 1000).triggers, ["start"]);
	assert.equal(nextRunAt(rested(1000)), 1000 + CHECK_MS);
	assert.deepEqual(startRun(rested(1000), 61_000).triggers, ["minute"]);
});

test("a single event is answered within 20 ms, and a burst by one run at its end", () => {
	assert(nextRunAt(noteTrigger(rested(0), 500, "link")) <= 520);
	let schedule = rested(0);
	for (let at = 500; at <= 530; at += 10) schedule = noteTrigger(schedule, at, "address");
	assert.equal(nextRunAt(schedule), 545);
	const { triggers, since } = startRun(noteTrigger(schedule, 531, "ruleset"), 546);
	assert.deepEqual([triggers, since], [["address", "ruleset"], 500]);
});

test("what deleted a table is answered at once, unless a file is being written", () => {
	const moved = noteTrigger(rested(0), 500, "address");
	const deleted = noteTrigger(moved, 505, "ruleset", { atOnce: true });
	assert(nextRunAt(deleted) <= 505);
	assert(nextRunAt(noteTrigger(deleted, 506, "address")) <= 506);
	assert.equal(nextRunAt(noteTrigger(deleted, 506, "file")), 606);
	// It rests after costly runs like any other event.
	const contended = rested(0, { contentionMs: 4000 });
	assert.equal(nextRunAt(noteTrigger(contended, 100, "ruleset", { atOnce: true })), 4000);
});

test("an endless burst does not delay its run", () => {
	let schedule = rested(0);
	for (let at = 500; at < 600; at += 5) schedule = noteTrigger(schedule, at, "route");
	assert.equal(nextRunAt(schedule), 560);
});

test("files get more time, because they may be written in several steps", () => {
	let schedule = rested(0);
	for (let at = 500; at <= 900; at += 50) schedule = noteTrigger(schedule, at, "file");
	assert.equal(nextRunAt(schedule), 1000);
});

test("events during a run are for the next one", () => {
	const running = startRun(noteTrigger(rested(0), 500, "link"), 515).schedule;
	assert.equal(nextRunAt(running), Number.POSITIVE_INFINITY);
	const after = finishRun(noteTrigger(running, 520, "address"), 530, WELL);
	assert.equal(nextRunAt(after), 535);
	assert.deepEqual(startRun(after, 535).triggers, ["address"]);
});

test("a failure is retried after a second, then twice as long each time up to a minute", () => {
	let schedule = rested(0);
	let now = 0;
	const waits: number[] = [];
	for (let attempt = 0; attempt < 9; attempt++) {
		schedule = finishRun(startRun(schedule, now).schedule, now, { ...WELL, failed: true });
		waits.push(nextRunAt(schedule) - now);
		now = nextRunAt(schedule);
	}
	assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
	assert.deepEqual(startRun(schedule, now).triggers, ["retry"]);
	// An event may remove the cause; an operator's request never waits.
	assert.equal(nextRunAt(noteTrigger(schedule, now - 59_990, "link")), now - 59_000);
	assert.equal(nextRunAt(noteTrigger(schedule, now - 59_990, "file")), now - 59_890);
	assert.equal(finishRun(startRun(schedule, now).schedule, now, WELL).failures, 0);
});

test("contention delays the repair of others' changes, but not an operator's request", () => {
	const contended = rested(0, { contentionMs: 4000 });
	assert.equal(nextRunAt(noteTrigger(contended, 100, "ruleset")), 4000);
	assert.equal(nextRunAt(noteTrigger(contended, 100, "signal")), 115);
});

test("under endless events, runs take a fifth of the time", () => {
	let schedule = rested(0);
	let now = 0;
	let spent = 0;
	while (now < 600_000) {
		schedule = noteTrigger(schedule, now, "link");
		now = Math.max(now, nextRunAt(schedule));
		schedule = startRun(schedule, now).schedule;
		now += 50;
		spent += 50;
		schedule = finishRun(schedule, now, { ...WELL, usedMs: 50 });
	}
	assert(spent / now > 0.15 && spent / now < 0.21, `${spent / now}`);
});

/** Handles an event at `at` with a run that uses `usedMs`; returns how late the run began. */
function handle(before: Schedule, at: number, usedMs: number): { schedule: Schedule; lateMs: number } {
	const told = noteTrigger(before, at, "ruleset");
	const start = nextRunAt(told);
	const end = start + usedMs;
	return {
		schedule: finishRun(startRun(told, start).schedule, end, { ...WELL, usedMs }),
		lateMs: start - at - 15,
	};
}

test("a fault after a quiet time never waits, however much CPU time the start and earlier repairs have used", () => {
	for (const usedMs of [50, 500, 2000]) {
		let schedule = finishRun(startRun(newSchedule(0), 0).schedule, usedMs, { ...WELL, usedMs: 2 * usedMs });
		for (let at = 10_000; at < 600_000; at += 10_000) {
			const handled = handle(schedule, at, usedMs);
			assert.equal(handled.lateMs, 0, `after ${at} ms, ${usedMs} ms each`);
			schedule = handled.schedule;
		}
	}
});

test("some costly repairs in a row do not wait, and then they take a fifth of the time", () => {
	let schedule = rested(0);
	let now = 10_000;
	const late: number[] = [];
	for (let repair = 0; repair < 30; repair++) {
		const handled = handle(schedule, now, 400);
		({ schedule } = handled);
		late.push(handled.lateMs);
		now += handled.lateMs + 15 + 400;
	}
	assert.deepEqual(late.slice(0, 6), [0, 0, 0, 0, 0, 0]);
	assert(
		late.slice(-10).every((ms) => ms > 1500 && ms < 1700),
		late.join(),
	);
	// After some quiet, a repair is made at once again.
	assert.equal(handle(schedule, now + 5000, 400).lateMs, 0);
});

test("in any case, a run comes within a minute after the last, and never during another", () => {
	const event = fc.record({
		afterMs: fc.nat(20_000),
		trigger: fc.constantFrom<Trigger>(...TRIGGERS),
		usedMs: fc.nat(300),
		failed: fc.boolean(),
	});
	fc.assert(
		fc.property(fc.array(event, { maxLength: 60 }), (events) => {
			let schedule = rested(0);
			let now = 0;
			let lastEnd = 0;
			for (const { afterMs, trigger, usedMs, failed } of events) {
				const heardAt = now + afterMs;
				while (nextRunAt(schedule) <= heardAt) {
					now = Math.max(now, nextRunAt(schedule));
					assert(now - lastEnd <= CHECK_MS + 5000, `a run ${now - lastEnd} ms after the last`);
					schedule = startRun(schedule, now).schedule;
					assert.equal(nextRunAt(schedule), Number.POSITIVE_INFINITY);
					now += usedMs;
					lastEnd = now;
					schedule = finishRun(schedule, now, { failed, usedMs, contentionMs: 0 });
				}
				now = Math.max(now, heardAt);
				schedule = noteTrigger(schedule, now, trigger);
				assert(nextRunAt(schedule) <= now + 60_000);
			}
		}),
	);
});
