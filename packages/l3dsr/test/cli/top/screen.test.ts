/** The drawing of `top` and the effect of keys: state and records in, lines out. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { runs } from "../../../../../test/support/property-runs.ts";
import { styleFor } from "../../../src/cli/style.ts";
import { decodeKeys, type Key } from "../../../src/cli/top/keys.ts";
import { ORDERS, rowsOf, sortRows } from "../../../src/cli/top/rows.ts";
import { type Canvas, renderTop } from "../../../src/cli/top/screen.ts";
import { afterKey, afterLook, FIRST_STATE, type TopState, TREND } from "../../../src/cli/top/state.ts";
import { director, service, status } from "./records.ts";

const LOOK = { host: "real1", time: "14:03:27" };
const plain = (columns: number, rows: number): Canvas => ({
	columns,
	rows,
	style: styleFor({}, {}),
	unicode: false,
});
const draw = (record = status(), state: TopState = FIRST_STATE, canvas = plain(80, 12)): readonly string[] =>
	renderTop({ ...LOOK, record }, state, canvas).lines;

const THREE = status({
	services: [
		service({ name: "web", rate: { packets: 12_345, bytes: 8_000_000 } }),
		service({
			name: "dns",
			vip: "2001:db8::53",
			selects: "DSCP 10 (TOS 0x28), udp 53",
			state: "partial",
			rate: null,
		}),
		service({ name: "held", vip: "192.0.2.99", selects: "the VIP itself", datapaths: [], rate: null }),
	],
	drift: [{ kind: "address-missing", object: "2001:db8::53 on lo", problem: "is missing" }],
});

describe("the screen", () => {
	test("has a verdict, the problems, services with rates, and the keys", () => {
		assert.deepEqual(draw(THREE, FIRST_STATE, plain(100, 11)), [
			"l3dsr top  real1  14:03:27",
			"1 of 3 services not up   datapath ebpf   12.3k packets/s   64.0M bit/s",
			"drift: 2001:db8::53 on lo is missing",
			"",
			"state    service  vip           takes                       by    packets/s  bit/s",
			"up       web      192.0.2.10    DSCP 7 (TOS 0x1c), tcp 80   ebpf      12.3k  64.0M",
			"partial  dns      2001:db8::53  DSCP 10 (TOS 0x28), udp 53  ebpf         --     --",
			"up       held     192.0.2.99    the VIP itself                           --     --",
			"",
			"",
			"1-3 of 3 services  as configured  q quit  s sort  r reverse  / filter  h help",
		]);
	});

	test("counts the services on a terminal that is too low for any of them", () => {
		for (const rows of [1, 2, 3, 4])
			assert.match(draw(THREE, FIRST_STATE, plain(100, rows)).at(-1) ?? "", /^3 services {2}as configured/);
	});

	test("leaves out columns on a narrow terminal, the least important first", () => {
		const heading = (columns: number): string => draw(THREE, FIRST_STATE, plain(columns, 12))[4] ?? "";
		assert.match(heading(80), /^state +service +vip +takes +packets\/s +bit\/s$/);
		assert.match(heading(60), /^state +service +vip +packets\/s +bit\/s$/);
		assert.match(heading(40), /^state +service +packets\/s +bit\/s$/);
		assert.match(heading(30), /^state +service +packets\/s$/);
	});

	test("shows a director's services, and its real servers with the reason if one is not up", () => {
		assert.deepEqual(draw(director(), FIRST_STATE, plain(100, 6)), [
			"l3dsr top  real1  14:03:27",
			"1 of 1 services up   directs at eth0 (xdp)   1.00k packets/s   8.00M bit/s",
			"",
			"state  service  vip         takes            by         packets/s  bit/s",
			"up     shop     192.0.2.20  tcp/443, DSCP 9  front 1/2      1.00k  8.00M",
			"1-1 of 1 services  as configured  q quit  s sort  r reverse  / filter  Tab real servers  h help",
		]);
		const lines = draw(director(), { ...FIRST_STATE, view: "real servers" }, plain(110, 7));
		assert.deepEqual(lines.slice(3, 6), [
			"state  real server  address    service       share  packets/s  bit/s  why",
			"up     a1           10.1.0.11  shop tcp/443  50.0%        500  4.00M",
			"down   a2           10.1.0.12  shop tcp/443  0.0%         500  4.00M  no answer within 80 ms",
		]);
	});

	test("reports that it cannot read the host, and keeps the old data", () => {
		const { lines } = renderTop(
			{ ...LOOK, record: THREE, failed: "nf_tables: EBUSY" },
			FIRST_STATE,
			plain(80, 12),
		);
		assert.equal(lines[2], "cannot read the host: nf_tables: EBUSY");
		assert.ok(lines.some((line) => line.startsWith("up       web")));
	});

	test("counts the problems that do not fit", () => {
		const drift = Array.from({ length: 9 }, (_, n) => ({
			kind: "guard" as const,
			object: `a${n}`,
			problem: "is wrong",
		}));
		assert.deepEqual(draw(status({ drift })).slice(2, 6), [
			"drift: a0 is wrong",
			"drift: a1 is wrong",
			"and 7 more: l3dsr diff",
			"",
		]);
	});

	test("draws the trend of each service if the terminal shows UTF-8", () => {
		let state = FIRST_STATE;
		for (const packets of [0, 500, 1000]) {
			state = afterLook(state, status({ services: [service({ name: "web", rate: { packets, bytes: 0 } })] }));
		}
		const { lines } = renderTop({ ...LOOK, record: status() }, state, { ...plain(120, 8), unicode: true });
		assert.match(lines[4] ?? "", / ▁▅█$/);
	});

	const anything = fc.record({
		columns: fc.integer({ min: 0, max: 200 }),
		rows: fc.integer({ min: 0, max: 60 }),
		name: fc.string({ unit: "binary", maxLength: 80 }),
		problem: fc.string({ unit: "binary", maxLength: 200 }),
		view: fc.constantFrom("services", "real servers" as const),
		help: fc.boolean(),
		filter: fc.string(),
		offset: fc.integer({ min: 0, max: 2000 }),
		services: fc.integer({ min: 0, max: 1000 }),
	});
	const control = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

	test("is as high as the terminal, never wider, and contains nothing that moves the cursor", () => {
		fc.assert(
			fc.property(anything, ({ columns, rows, name, problem, services: count, ...changes }) => {
				const services = Array.from({ length: count }, () => service({ name, vip: problem }));
				const record = status({
					services,
					drift: [{ kind: "guard", object: name, problem }],
					refused: problem,
				});
				const { lines } = renderTop(
					{ record, host: name, time: problem, failed: problem },
					{ ...FIRST_STATE, ...changes },
					plain(columns, rows),
				);
				assert.equal(lines.length, rows);
				for (const line of lines) {
					assert.ok([...line].length <= columns, `${[...line].length} of ${columns}: ${line}`);
					assert.doesNotMatch(line, control);
				}
			}),
			{ numRuns: runs(300) },
		);
	});
});

describe("rows", () => {
	const names = (order: (typeof ORDERS)[number], reversed = false): readonly string[] =>
		sortRows(rowsOf(THREE, "services"), order, reversed).map(({ name }) => name);

	test("are sorted by state, name and rate; equal ones stay as configured", () => {
		assert.deepEqual(names("configured"), ["web", "dns", "held"]);
		assert.deepEqual(names("configured", true), ["held", "dns", "web"]);
		assert.deepEqual(names("state"), ["dns", "web", "held"]);
		assert.deepEqual(names("name"), ["dns", "held", "web"]);
		assert.deepEqual(names("packets/s"), ["web", "dns", "held"]);
		assert.deepEqual(names("bit/s", true), ["held", "dns", "web"]);
	});

	test("keep the trend of their last readings, but not of removed services", () => {
		let state = FIRST_STATE;
		for (let n = 0; n < 2 * TREND; n++) state = afterLook(state, THREE);
		assert.deepEqual(
			[...state.trends.values()].map(({ length }) => length),
			[TREND, TREND, TREND],
		);
		assert.equal(afterLook(state, status({ services: [] })).trends.size, 0);
	});
});

describe("keys", () => {
	const EXTENT = { rows: 100, page: 10, directs: true };
	const text = (letters: string): readonly Key[] => decodeKeys(letters);
	const press = (keys: readonly Key[], from = FIRST_STATE, extent = EXTENT): TopState | "end" => {
		let state = from;
		for (const key of keys) {
			const next = afterKey(state, key, extent);
			if (next === "end") return "end";
			state = next;
		}
		return state;
	};
	const offset = (letters: string, from = 0): number | undefined => {
		const state = press(text(letters), { ...FIRST_STATE, offset: from });
		return state === "end" ? undefined : state.offset;
	};

	for (const [keys, from, to] of [
		["\u001b[B", 0, 1],
		["\u001b[A", 0, 0],
		["\u001b[6~", 5, 15],
		["\u001b[6~\u001b[6~", 80, 90],
		["\u001b[5~", 5, 0],
		["\u001b[F", 0, 90],
		["\u001bOF", 0, 90],
		["\u001b[H", 50, 0],
		["jjk", 0, 1],
		["G", 0, 90],
		["g", 90, 0],
		[" b", 7, 7],
		["\u001b[1;5C", 7, 7],
	] as const) {
		test(`${JSON.stringify(keys)} scrolls from ${from} to ${to}, and the last page is full`, () => {
			assert.equal(offset(keys, from), to);
		});
	}

	test("sort by each order in turn, and reverse it", () => {
		const orders = ORDERS.map((_, n) => {
			const state = press(text("s".repeat(n)));
			return state === "end" ? "" : state.order;
		});
		assert.deepEqual(orders, ORDERS);
		assert.deepEqual(press(text("sr")), { ...FIRST_STATE, order: "state", reversed: true });
	});

	test("type a filter in which letters are letters; Enter keeps it and Escape drops it", () => {
		const typed = press(text("/quns\u007f"));
		assert.deepEqual(typed, { ...FIRST_STATE, filter: "qun", typing: true });
		assert.deepEqual(press(text("/dns\r")), { ...FIRST_STATE, filter: "dns" });
		assert.deepEqual(press(text("/dns\u001b")), FIRST_STATE);
		assert.deepEqual(press(text("/dns\r\u001b")), FIRST_STATE);
		const lines = draw(THREE, { ...FIRST_STATE, filter: "DNS udp" });
		assert.ok(lines.some((line) => line.includes("dns")));
		assert.ok(!lines.some((line) => line.includes("held")));
	});

	test("q and Ctrl-C end it, and Ctrl-C also while a filter is typed", () => {
		for (const keys of ["q", "Q", "\u0003", "/\u0003", "hq"]) assert.equal(press(text(keys)), "end", keys);
		assert.notEqual(press(text("/q")), "end");
	});

	test("show help until the next key, and real servers on a director", () => {
		const helped = press(text("h"));
		assert.ok(helped !== "end" && helped.help);
		assert.ok(draw(THREE, helped).some((line) => line.includes("sort by the next")));
		assert.deepEqual(press(text("h ")), FIRST_STATE);
		assert.deepEqual(press(text("\t")), { ...FIRST_STATE, view: "real servers" });
		assert.deepEqual(press(text("\t"), FIRST_STATE, { ...EXTENT, directs: false }), FIRST_STATE);
	});

	test("are read from any input of a terminal, and control characters are ignored", () => {
		fc.assert(
			fc.property(fc.string({ unit: "binary" }), (input) => {
				for (const key of decodeKeys(input))
					if (key.kind === "text") assert.doesNotMatch(key.text, /\p{Cc}/u);
			}),
		);
	});
});
