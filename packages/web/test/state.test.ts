/** Tests the page's conversion of records, without a browser. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StatusRecord } from "@l3dsr/records";
import fc from "fast-check";
import { EventStreamReader, type StreamedEvent } from "../src/api/event-stream.ts";
import { readRecord } from "../src/api/read-record.ts";
import { clock, duration, elapsed, exact, percent, scaled } from "../src/state/format.ts";
import { checkText, poolsOf } from "../src/state/pools.ts";
import { formatRoute, parseRoute } from "../src/state/route.ts";
import { matchesFilter, rowsOf, sorted } from "../src/state/services.ts";
import { age, Session, TOTAL } from "../src/state/session.ts";
import { LENGTH, Timeline } from "../src/state/timeline.ts";
import { nearMisses, outcomeOf } from "../src/state/trace.ts";
import { verdictOf } from "../src/state/verdict.ts";
import { wayFromHere, wayToHere } from "../src/state/way.ts";
import { director, events, findings, later, manyServices, realServer, shopDirector, trace } from "./hosts.ts";

test("a record's texts are read as they are, with marks of text direction in letters", () => {
	const record = { name: 'a"b\\c\n', "käse\u202e": ["\u2066\u061c", 7, null] };
	assert.deepEqual(readRecord(JSON.stringify(record)), {
		name: 'a"b\\c\n',
		"käse\\u202e": ["\\u2066\\u061c", 7, null],
	});
});

describe("server-sent events", () => {
	const read = (pieces: readonly string[]): StreamedEvent[] => {
		const reader = new EventStreamReader();
		return pieces.flatMap((piece) => reader.read(piece));
	};
	const stream =
		': hello\n\nid: 7\nevent: event\ndata: {"a":1}\n\nevent: status\r\ndata: one\r\ndata:two\r\n\r\ndata\n\n';
	const wanted: StreamedEvent[] = [
		{ name: "event", data: '{"a":1}', id: "7" },
		{ name: "status", data: "one\ntwo", id: "7" },
		{ name: "message", data: "", id: "7" },
	];

	test("are read with their name, their data and the last id, without comments", () => {
		assert.deepEqual(read([stream]), wanted);
		assert.deepEqual(read(["\ufeffdata: x\n\n"]), [{ name: "message", data: "x", id: "" }]);
		assert.deepEqual(read(["data: not ended\n"]), []);
	});

	test("are the same wherever the network splits the stream", () => {
		fc.assert(
			fc.property(fc.array(fc.integer({ min: 0, max: stream.length })), (cuts) => {
				const places = [0, ...cuts.toSorted((a, b) => a - b), stream.length];
				assert.deepEqual(read(places.slice(1).map((to, index) => stream.slice(places[index], to))), wanted);
			}),
		);
	});
});

describe("the timeline", () => {
	const sample = (packets: number | null) => [
		{ key: "a", packets, bytes: packets === null ? null : packets * 100 },
	];

	test("divides the difference by the time, and has a gap after a reset or without counters", () => {
		const timeline = new Timeline();
		timeline.add(1000, sample(10));
		assert.equal(timeline.rate("a"), null);
		timeline.add(3000, sample(30));
		assert.deepEqual(timeline.rate("a"), { packets: 10, bits: 8000 });
		timeline.add(4000, sample(5));
		assert.equal(timeline.rate("a"), null);
		timeline.add(5000, sample(6));
		timeline.add(6000, sample(null));
		timeline.add(7000, []);
		assert.deepEqual(timeline.values("a", "packets"), [null, 10, null, 1, null, null]);
		assert.deepEqual(timeline.times(2), [6, 7]);
	});

	test("ignores a repeated moment, and forgets keys that have been missing for its whole length", () => {
		const timeline = new Timeline(5);
		timeline.add(1000, sample(1));
		timeline.add(1000, sample(9));
		assert.equal(timeline.times().length, 1);
		for (let second = 2; second <= 20; second++) timeline.add(second * 1000, []);
		assert.equal(timeline.keys, 0);
		assert.equal(timeline.times().length, 5);
	});

	test("begins again when the host's clock is set back, and does not wait until it is as late as before", () => {
		const timeline = new Timeline();
		timeline.add(7_200_000, sample(1));
		timeline.add(7_201_000, sample(3));
		timeline.add(3_600_000, sample(5));
		assert.equal(timeline.rate("a"), null);
		timeline.add(3_601_000, sample(9));
		assert.deepEqual(timeline.rate("a"), { packets: 4, bits: 3200 });
		assert.deepEqual(timeline.times(), [3600, 3601]);
	});

	test("sums only the rates that exist", () => {
		const timeline = new Timeline();
		const both = (a: number, b: number) => [...sample(a), { key: "b", packets: b, bytes: 0 }];
		timeline.add(1000, both(1, 100));
		timeline.add(2000, both(3, 5));
		timeline.sum("sum", ["a", "b", "c"]);
		assert.deepEqual(timeline.rate("sum"), { packets: 2, bits: 1600 }, "b was set back");
	});

	test("of a host with a hundred services does not grow", () => {
		const session = new Session(() => 0);
		let status = manyServices(100);
		for (let n = 0; n < 2 * LENGTH; n++) {
			session.receive({ kind: "status", record: status });
			status =
				n % 100 === 0 ? later(status, 1) : { ...status, time: later({ ...status, services: [] }, 1).time };
		}
		const { timeline } = session.snapshot;
		assert.equal(timeline.keys, 101);
		assert.equal(timeline.values(TOTAL, "packets").length, LENGTH);
	});
});

describe("the session", () => {
	const statusOf = (record: StatusRecord) => ({ kind: "status", record }) as const;

	test("tells ages by the host's clock, however wrong the reader's is", () => {
		const record = realServer();
		for (const skewMs of [0, -3_600_000, 86_400_000]) {
			const receivedMs = Date.parse(record.time) + skewMs;
			const session = new Session(() => receivedMs);
			session.receive(statusOf(record));
			const time = new Date(Date.parse(record.time) - 4000).toISOString();
			assert.equal(age(session.snapshot, time, receivedMs + 1500), 5500);
		}
	});

	test("reports since when the agent is silent, and that it answers again", () => {
		let nowMs = 5000;
		const session = new Session(() => nowMs);
		session.receive(statusOf(realServer()));
		nowMs = 9000;
		session.receive({ kind: "lost", why: "closed" });
		nowMs = 12_000;
		session.receive({ kind: "lost", why: "refused" });
		assert.deepEqual(session.snapshot.connection, { state: "lost", why: "refused", sinceMs: 9000 });
		assert.equal(session.snapshot.heardMs, 5000);
		assert.match(session.snapshot.announcement, /does not answer/);
		session.receive({ kind: "heard" });
		assert.equal(session.snapshot.connection.state, "live");
		assert.match(session.snapshot.announcement, /answers again/);
	});

	test("announces changed states, and never a rate", () => {
		const session = new Session(() => 0);
		const status = manyServices(3);
		session.receive(statusOf(status));
		session.receive(statusOf(later(status, 1)));
		assert.equal(session.snapshot.announcement, "");
		const down = (count: number): StatusRecord => ({
			...status,
			services: status.services.map((one, index) => (index < count ? { ...one, state: "down" } : one)),
		});
		session.receive(statusOf(down(1)));
		assert.equal(session.snapshot.announcement, "Service service-1 is down.");
		session.receive(statusOf(down(3)));
		assert.equal(session.snapshot.announcement, "2 services changed their state.");
	});

	test("keeps the newest thousand events in order, each once", () => {
		const session = new Session(() => 0);
		const [event] = events().events;
		assert.ok(event !== undefined);
		for (const one of events().events) session.receive({ kind: "event", event: one });
		assert.deepEqual(
			session.snapshot.events.map(({ id }) => id),
			[3, 2, 1],
		);
		for (const one of events().events) session.receive({ kind: "event", event: one });
		assert.equal(session.snapshot.events.length, 3);
		for (let id = 4; id < 2000; id++) session.receive({ kind: "event", event: { ...event, id } });
		assert.equal(session.snapshot.events.length, 1000);
		assert.equal(session.snapshot.events[0]?.id, 1999);
	});
});

test("a verdict names services that are not up, and other faults", () => {
	const { headline, beside, tone } = verdictOf(realServer(), findings().findings);
	assert.deepEqual(
		[headline, beside, tone],
		["1 of 4 services is not up", "drift in 1 place, 1 error, 1 warning", "bad"],
	);
	const all = verdictOf(manyServices(3), []);
	assert.deepEqual([all.headline, all.beside, all.tone], ["All 3 services are up", "no drift", "good"]);
	assert.equal(
		verdictOf(manyServices(3), findings().findings).headline,
		"All 3 services are up, with 1 error",
	);
	assert.deepEqual(verdictOf(manyServices(0), []), {
		tone: "idle",
		headline: "No services",
		beside: "no drift",
	});
	const directing = verdictOf(shopDirector(), []);
	assert.deepEqual([directing.beside, directing.tone], ["1 real server down, no drift", "warn"]);
});

test("a pool has the real servers of all its services, each in its worst state", () => {
	const { director: directing } = director();
	assert.ok(directing !== undefined);
	const pools = poolsOf(directing);
	assert.deepEqual(
		pools.map(({ name, tone }) => [name, tone]),
		[
			["front", "warn"],
			["ftp", "bad"],
		],
	);
	const [web] = directing.services;
	assert.ok(web !== undefined);
	const other = {
		...web,
		vip: "2001:db8::10",
		reals: web.reals.map((real) => ({ ...real, address: "2001:db8:1::1", state: "up" as const })),
	};
	const [front] = poolsOf({ ...directing, services: [other, web] });
	const a2 = front?.reals.find(({ name }) => name === "a2");
	assert.deepEqual([a2?.state, a2?.addresses], ["down", ["2001:db8:1::1", "10.1.0.12"]]);
});

test("a check is told with its duration, since when it passes or fails, and how often it failed", () => {
	const timeMs = Date.parse("2026-11-28T01:00:00.000Z");
	const since = "2026-11-28T00:57:00.000Z";
	const check = { type: "http", failures: 0 } as const;
	assert.equal(
		checkText({ ...check, state: "healthy", since, durationMs: 0.8 }, timeMs),
		"http check ok for 3 min, 0.8 ms",
	);
	assert.equal(
		checkText({ ...check, state: "unhealthy", since, durationMs: 80, failures: 1914 }, timeMs),
		"http check failed 1,914×, 3 min",
	);
	assert.equal(checkText({ ...check, state: "unknown" }, timeMs), "http check: no result yet");
	assert.equal(checkText({ ...check, state: "healthy" }, timeMs), "http check ok");
});

test("rows are found by any of their words, and sorted without reordering equal ones", () => {
	const rows = rowsOf(realServer());
	const found = (filter: string): readonly string[] =>
		rows.filter((row) => matchesFilter(row, filter)).map(({ vip }) => vip);
	assert.deepEqual(found("dscp 10"), ["192.0.2.53"]);
	assert.deepEqual(found("WEB tcp"), ["192.0.2.10"]);
	assert.deepEqual(found("!up"), ["192.0.2.53"]);
	assert.equal(found("").length, 4);
	const names = (descending: boolean) =>
		sorted(rows, { order: "name", descending }, () => null).map(({ name, vip }) => `${name} ${vip}`);
	assert.deepEqual(names(false), ["dns 192.0.2.53", "held 192.0.2.99", "web 192.0.2.10", "web 2001:db8::10"]);
	const rates = new Map(rows.map(({ key }, index) => [key, { packets: [5, 9, 1][index] ?? 0, bits: 0 }]));
	const busiest = sorted(rows, { order: "packets", descending: true }, (key) => rates.get(key) ?? null);
	assert.deepEqual(
		busiest.map(({ vip }) => vip),
		["2001:db8::10", "192.0.2.10", "192.0.2.53", "192.0.2.99"],
	);
});

test("the way of a service names its codes, its configuration, and what is missing", () => {
	const [web, , dns, held] = realServer().services;
	assert.ok(web !== undefined && dns !== undefined && held !== undefined);
	const way = wayToHere(web, "real1.example.net");
	assert.equal(way.toReal.code, "DSCP 7 (TOS 0x1c)");
	assert.deepEqual(way.real.lines, ["✓ DSCP 7 → the VIP, by ebpf", "✓ the VIP is on lo:1"]);
	assert.equal(way.back.broken, false);
	assert.deepEqual(wayToHere(dns, "h").real.lines, ["✓ DSCP 10 → the VIP, by nft", "✕ the VIP is not on lo"]);
	assert.equal(wayToHere(dns, "h").toReal.broken, true);
	assert.equal(wayToHere(held, "h").toReal.code, "to this host's Ethernet address");
	const [directed] = director().director?.services ?? [];
	assert.ok(directed !== undefined);
	assert.deepEqual(wayFromHere(directed, "d").real.lines, ["a1 50 %", "a4 50 %"]);
});

test("the outcome of a trace is one sentence, and near misses fail in one condition", () => {
	const record = trace();
	assert.equal(outcomeOf(record).text, "No rule matches: it goes up the stack unchanged.");
	assert.match(
		outcomeOf({ ...record, rewritten: true, local: true, destination: "192.0.2.1" }).text,
		/goes up the stack/,
	);
	assert.match(outcomeOf({ ...record, rewritten: true, local: false }).text, /Is the VIP on lo\?/);
	assert.match(outcomeOf({ ...record, unreadable: "header-cut" }).text, /drops it/);
	assert.equal(nearMisses(record.stops[0]?.rules ?? []).length, 1);
	const byCode = { rule: "r", matched: false, failed: [{ condition: "c", packet: "p", dscpOnly: true }] };
	assert.equal(nearMisses(Array(5).fill(byCode)).length, 5);
	assert.equal(nearMisses(Array(6).fill(byCode)).length, 0, "in a table of VIPs every other rule is");
});

test("places in the URL are the same after they are read back", () => {
	fc.assert(
		fc.property(
			fc.constantFrom("services", "pools", "trace" as const),
			fc.string({ minLength: 1 }),
			fc.dictionary(fc.stringMatching(/^[a-z]+$/), fc.string()),
			(place, open, fields) => {
				const route = { place, open, fields } as const;
				assert.deepEqual({ ...parseRoute(formatRoute(route)).fields }, { ...fields });
				assert.equal(parseRoute(formatRoute(route)).open, open);
			},
		),
	);
	assert.deepEqual(parseRoute("#nowhere/%zz"), { place: "services", open: "%zz", fields: {} });
});

test("numbers are short, or exact if they should be", () => {
	assert.deepEqual([0, 7, 999.6, 12_345, 1.5e9, null, undefined].map(scaled), [
		"0",
		"7",
		"1.00k",
		"12.3k",
		"1.50G",
		"–",
		"–",
	]);
	assert.equal(exact(1_234_567), "1,234,567");
	assert.deepEqual([0, 0.0004, 0.071, 0.5, 1].map(percent), ["0 %", "<0.1 %", "7.1 %", "50 %", "100 %"]);
	assert.deepEqual([400, 59_000, 61_000, 7_200_000, 200_000_000].map(duration), [
		"0 s",
		"59 s",
		"1 min",
		"2 h",
		"2 d",
	]);
	assert.deepEqual([0.84, 38.2, 1234].map(elapsed), ["0.8 ms", "38 ms", "1.2 s"]);
	const noon = new Date(2026, 4, 3, 12, 0, 7).getTime();
	assert.equal(clock(noon, noon), "12:00:07");
	assert.equal(clock(noon, noon + 86_400_000), "2026-05-03 12:00:07");
});
