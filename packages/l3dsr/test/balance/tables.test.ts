import assert from "node:assert/strict";
import { test } from "node:test";
import { LARGEST_ARRAY_VALUE_BEFORE_6_0 } from "@l3dsr/bpf";
import { type Address, addressFromBytes, dscp } from "@l3dsr/packet";
import fc from "fast-check";
import { runs } from "../../../../test/support/property-runs.ts";
import type { BalancedReal, BalanceWish } from "../../src/balance/service.ts";
import { REASON_SLOTS, tableSpecs, VIP } from "../../src/balance/tables/layout.ts";
import { planTables, sameRows, type TablePlan } from "../../src/balance/tables/plan.ts";
import { decodeReal, encodeReal, type Hop, type RealEntry } from "../../src/balance/tables/real-entry.ts";
import type { CurrentService } from "../../src/balance/tables/state.ts";
import {
	decodeVipTable,
	encodeVipTable,
	offsetOf,
	planVipTable,
	type VipRow,
} from "../../src/balance/tables/vip-table.ts";

const arbitraryAddress = fc.oneof(
	fc.uint8Array({ minLength: 4, maxLength: 4 }).map(addressFromBytes),
	fc.uint8Array({ minLength: 16, maxLength: 16 }).map(addressFromBytes),
);

const place = {
	number: 3,
	first: 40,
	room: 8,
	seed: 0x1234_5678_9abc_def0n,
	affinity: "source",
	since: 77,
	changed: 78,
} as const;

/** Each address at most once, so that no two rows have the same key. */
const arbitraryRows: fc.Arbitrary<readonly VipRow[]> = fc
	.uniqueArray(arbitraryAddress, { selector: ({ text }) => text, maxLength: 300 })
	.map((addresses) =>
		addresses.flatMap((address, n): VipRow[] => [
			{ kind: "service", address, protocol: n % 2 === 0 ? 6 : 17, port: n, place: { ...place, number: n } },
			n % 3 === 0
				? { kind: "real", address, codes: BigInt(n) << 40n }
				: { kind: "vip", address, echo: (["kernel", "reply", "server"] as const)[n % 3] ?? "kernel", place },
		]),
	);

test("every row of a VIP table has its own entry, and is read back as it was written", () => {
	fc.assert(
		fc.property(arbitraryRows, (rows) => {
			const hash = planVipTable(rows);
			assert.equal(new Set(rows.map((row) => offsetOf(row, hash))).size, rows.length);
			const table = { rows, ...hash, generation: 9n };
			const read = decodeVipTable(encodeVipTable(table));
			assert.ok(read !== undefined);
			assert.ok(sameRows(read.rows, rows));
			assert.deepEqual({ ...read, rows: [] }, { ...table, rows: [] });
		}),
		{ numRuns: runs(25) },
	);
});

test("a table of a thousand VIPs with two services each is complete and stays small", () => {
	const rows = Array.from({ length: 1000 }, (_, n) => addressFromBytes([192, 0, n >> 8, n & 255])).flatMap(
		(address): VipRow[] => [
			{ kind: "service", address, protocol: 6, port: 80, place },
			{ kind: "service", address, protocol: 6, port: 443, place },
			{ kind: "vip", address, echo: "kernel", place },
		],
	);
	const { bits } = planVipTable(rows);
	assert.ok(2 ** bits * VIP.size <= 1 << 20, `${bits} bits`);
});

test("a table of another version is not read", () => {
	const bytes = encodeVipTable({ rows: [], ...planVipTable([]), generation: 1n });
	const schema = bytes.slice();
	schema[4] = 99;
	assert.equal(decodeVipTable(schema), undefined);
	assert.equal(decodeVipTable(new Uint8Array(bytes.length)), undefined);
});

const arbitraryHop: fc.Arbitrary<Hop> = fc.oneof(
	fc.constant<Hop>({ to: "unresolved" }),
	fc.record({ to: fc.constant("kernel" as const), mtu: fc.integer({ min: 576, max: 9000 }) }),
	fc.record({
		to: fc.constant("interface" as const),
		ifindex: fc.integer({ min: 1, max: 1 << 30 }),
		nextHop: fc.uint8Array({ minLength: 6, maxLength: 6 }),
		ownMac: fc.uint8Array({ minLength: 6, maxLength: 6 }),
		mtu: fc.integer({ min: 576, max: 9000 }),
	}),
);

test("a real server's entry is read back as it was written", () => {
	const arbitraryEntry: fc.Arbitrary<RealEntry> = fc.record(
		{
			address: arbitraryAddress,
			dscp: fc.integer({ min: 0, max: 63 }).map(dscp),
			up: fc.boolean(),
			health: fc.constantFrom("healthy", "failing", "starting"),
			left: fc.integer({ min: 1, max: 1 << 30 }),
			hop: arbitraryHop,
			base: fc.record({
				packets: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
				bytes: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
			}),
		},
		{ requiredKeys: ["address", "dscp", "up", "health", "hop", "base"] },
	);
	fc.assert(
		fc.property(arbitraryEntry, (entry) => {
			// fast-check's records have no prototype.
			const plain: RealEntry = { ...entry, hop: { ...entry.hop }, base: { ...entry.base } };
			assert.deepEqual(decodeReal(encodeReal(plain), entry.address.family), plain);
		}),
	);
});

const realAt = (n: number): BalancedReal => ({
	name: `r${n}`,
	address: addressFromBytes([10, 0, n >> 8, n & 255]),
	weight: 1,
	serves: true,
	carries: true,
	health: "healthy",
});

function wish(services: readonly (readonly number[])[]): BalanceWish {
	const address = (n: number): Address => addressFromBytes([192, 0, 2, n]);
	return {
		addresses: services.map((_, n) => ({ address: address(n), echo: "kernel" })),
		services: services.map((reals, n) => ({
			address: address(n),
			protocol: 6,
			port: 80,
			vip: `vip${n}`,
			pool: "pool",
			dscp: dscp(1),
			affinity: "flow",
			drainMs: 1000,
			reals: reals.map(realAt),
		})),
	};
}

/**
 * The tables after a plan was carried out; `keepLeft`: real servers that have left still have their numbers.
 */
function current(plan: TablePlan, keepLeft: boolean): CurrentService[] {
	return plan.services.map(({ wish: service, place: where, reals, leaving }) => ({
		...service,
		...where,
		reals: [
			...reals.map(({ real: one, index, current: entry }) => ({
				index,
				entry: entry ?? {
					address: one.address,
					dscp: service.dscp,
					up: true,
					health: "healthy",
					hop: { to: "unresolved" } as const,
					base: { packets: 0n, bytes: 0n },
				},
			})),
			...(keepLeft ? leaving : []),
		],
	}));
}

test("after any additions and removals, each real server keeps its own number in its service", () => {
	const nobody = { bleach: false, referred: () => new Set<number>() };
	const arbitraryPools = fc.array(fc.uniqueArray(fc.nat(60), { maxLength: 40 }), {
		minLength: 1,
		maxLength: 20,
	});
	fc.assert(
		fc.property(fc.array(fc.tuple(arbitraryPools, fc.boolean()), { minLength: 1, maxLength: 8 }), (steps) => {
			let before: CurrentService[] = [];
			let capacity: Parameters<typeof planTables>[2];
			for (const [pools, keepLeft] of steps) {
				const plan = planTables(wish(pools), before, capacity, nobody);
				const now = current(plan, keepLeft);
				capacity = plan.grow ?? capacity;
				assert.ok(capacity !== undefined);
				const numbers = now.flatMap(({ first, reals }) => reals.map(({ index }) => first + index));
				assert.equal(new Set(numbers).size, numbers.length, "two reals have one number");
				assert.ok(numbers.every((number) => number >= REASON_SLOTS && number < (capacity?.reals ?? 0)));
				const rings = now.map(({ number }) => number);
				assert.equal(new Set(rings).size, rings.length, "two services have one ring");
				assert.ok(rings.every((number) => number < (capacity?.rings ?? 0)));
				for (const service of now) {
					assert.ok(service.reals.every(({ index }) => index < service.room));
					const old = before.find(({ address }) => address.text === service.address.text);
					for (const { index, entry } of old?.reals ?? []) {
						const kept = service.reals.find((one) => one.entry.address.text === entry.address.text);
						if (kept !== undefined) assert.equal(kept.index, index, "a real changed its number");
					}
				}
				before = now;
			}
		}),
		{ numRuns: runs(60) },
	);
});

test("the number of a real server that has left is not reused while a slot refers to it", () => {
	const first = planTables(wish([[1]]), [], undefined, { bleach: false, referred: () => new Set() });
	const plan = planTables(
		wish([[2]]),
		current(first, false).map((one) => ({ ...one, reals: [] })),
		first.grow,
		{
			bleach: false,
			referred: () => new Set([0]),
		},
	);
	assert.deepEqual(
		plan.services[0]?.reals.map(({ index }) => index),
		[1],
	);
});

test("with bleach, real servers have rows with the codes that reach them, unless they are VIPs themselves", () => {
	const plan = planTables(wish([[1, 2], [2]]), [], undefined, { bleach: true, referred: () => new Set() });
	const rows = plan.rows.flatMap((row) => (row.kind === "real" ? [[row.address.text, row.codes]] : []));
	assert.deepEqual(rows, [
		["10.0.0.1", 2n],
		["10.0.0.2", 2n],
	]);
});

test("before Linux 6.0 the memory of flows is smaller, and services that exceed the tables are refused", () => {
	const options = {
		bleach: false,
		referred: () => new Set<number>(),
		largestTable: () => LARGEST_ARRAY_VALUE_BEFORE_6_0,
	};
	const services = (count: number) => wish(Array.from({ length: count }, () => [1, 2]));
	const { grow } = planTables(services(31), [], undefined, options);
	assert(grow !== undefined);
	assert.equal(grow.flowBits, 15);
	for (const { name, valueSize } of Object.values(tableSpecs(grow))) {
		assert(valueSize <= LARGEST_ARRAY_VALUE_BEFORE_6_0, `${name}: ${valueSize}`);
	}
	assert.throws(() => planTables(services(32), [], undefined, options), {
		code: "KERNEL_FEATURE",
		message: /^make tables for 32 services: before Linux 6\.0 a table has at most 4 MB, room for 31 services/,
	});
	const free = { ...options, largestTable: () => Number.POSITIVE_INFINITY };
	assert.equal(planTables(services(32), [], undefined, free).grow?.flowBits, 17);
});
