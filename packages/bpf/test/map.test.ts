import assert from "node:assert/strict";
import { test } from "node:test";
import { possibleCpus } from "@l3dsr/linux";
import { failOnLeaks } from "../../../test/support/leak.ts";
import { enterNetns } from "../../../test/support/netns.ts";
import { arrayKey, BpfMap, perCpuValues, sumPerCpu } from "../src/map.ts";
import { mapIdOf } from "../src/object-id.ts";
import { BPF_MAP_FLAG, type MapSpec } from "../src/spec.ts";

enterNetns();
failOnLeaks();

function u64(value: bigint): Uint8Array {
	const bytes = new Uint8Array(8);
	new DataView(bytes.buffer).setBigUint64(0, value, true);
	return bytes;
}

const HASH: MapSpec = {
	name: "t_hash",
	type: "BPF_MAP_TYPE_HASH",
	keySize: 2,
	valueSize: 8,
	maxEntries: 300,
};
const ARRAY: MapSpec = {
	name: "t_array",
	type: "BPF_MAP_TYPE_ARRAY",
	keySize: 4,
	valueSize: 8,
	maxEntries: 5,
};

test("a hash returns what was stored, distinguishes new from existing keys, and drops deleted ones", () => {
	using map = BpfMap.create(HASH);
	const key = Uint8Array.of(1, 2);
	assert.equal(map.lookup(key), undefined);
	map.update(key, u64(5n), "new");
	assert.deepEqual(map.lookup(key), u64(5n));
	assert.throws(() => map.update(key, u64(6n), "new"), {
		message: "update an element of map t_hash: EEXIST (file exists)",
	});
	map.update(key, u64(6n), "existing");
	assert.throws(() => map.update(Uint8Array.of(9, 9), u64(6n), "existing"), { message: /ENOENT/ });
	assert.equal(map.delete(key), true);
	assert.equal(map.delete(key), false);
});

test("many elements are written and read completely, with and without batch calls", () => {
	using map = BpfMap.create(HASH);
	const elements = Array.from({ length: 300 }, (_, n) => ({
		key: Uint8Array.of(n & 0xff, n >> 8),
		value: u64(BigInt(n)),
	}));
	map.updateAll(elements);
	const sorted = [...map.entries()].sort((a, b) =>
		Buffer.compare(a.value.toReversed(), b.value.toReversed()),
	);
	assert.deepEqual(sorted, elements);
	map.deleteAll([Uint8Array.of(0xff, 0xff), ...elements.slice(1).map(({ key }) => key)]);
	assert.deepEqual(map.entries(), [elements[0]]);
	map.deleteAll([Uint8Array.of(0, 0)]);
	assert.deepEqual(map.entries(), []);
});

test("a map type without batch operations uses single ones", () => {
	using map = BpfMap.create({
		name: "t_devmap",
		type: "BPF_MAP_TYPE_DEVMAP_HASH",
		keySize: 4,
		valueSize: 4,
		maxEntries: 4,
	});
	const loopback = arrayKey(1);
	map.updateAll([3, 7].map((n) => ({ key: arrayKey(n), value: loopback })));
	const keys = map.entries().map(({ key, value }) => [key[0], value[0]]);
	assert.deepEqual(
		keys.sort(([a = 0], [b = 0]) => a - b),
		[
			[3, 1],
			[7, 1],
		],
	);
	map.deleteAll([arrayKey(3), arrayKey(7)]);
	assert.deepEqual(map.entries(), []);
});

test("an array has all its elements from the start", () => {
	using map = BpfMap.create({ ...ARRAY, contents: [{ key: arrayKey(3), value: u64(33n) }] });
	assert.deepEqual(
		map.entries().map(({ value }) => value[0]),
		[0, 0, 0, 33, 0],
	);
	assert.equal(map.lookup(arrayKey(5)), undefined);
	assert.throws(() => map.delete(arrayKey(3)), { code: "SYSCALL", message: /EINVAL/ });
});

test("a per-CPU array keeps a value for each CPU", () => {
	using map = BpfMap.create({
		name: "t_percpu",
		type: "BPF_MAP_TYPE_PERCPU_ARRAY",
		keySize: 4,
		valueSize: 16,
		maxEntries: 3,
		contents: [{ key: arrayKey(1), value: Buffer.concat([u64(7n), u64(100n)]) }],
	});
	const cpus = BigInt(possibleCpus());
	const value = map.lookup(arrayKey(1));
	assert.ok(value !== undefined);
	assert.equal(perCpuValues(map, value).length, possibleCpus());
	assert.deepEqual(sumPerCpu(map, value), [7n * cpus, 100n * cpus]);
	const each = Array.from({ length: possibleCpus() }, (_, cpu) => [u64(BigInt(cpu)), u64(1n)]).flat();
	map.update(arrayKey(2), Buffer.concat(each));
	const [, , last] = map.entries();
	assert.deepEqual(last && sumPerCpu(map, last.value), [(cpus * (cpus - 1n)) / 2n, cpus]);
});

test("the memory of a mapped array is the map itself, and zeros after disposal", () => {
	using map = BpfMap.create({ ...ARRAY, flags: BPF_MAP_FLAG.BPF_F_MMAPABLE });
	const memory = map.mapMemory({ writable: true });
	memory.bytes[8] = 42;
	assert.deepEqual(map.lookup(arrayKey(1)), u64(42n));
	map.update(arrayKey(2), u64(43n));
	assert.equal(memory.bytes[16], 43);
	const { bytes } = memory;
	memory[Symbol.dispose]();
	memory[Symbol.dispose]();
	map.update(arrayKey(2), u64(44n));
	assert.deepEqual(bytes.subarray(0, 32), new Uint8Array(32));
	using plain = BpfMap.create(ARRAY);
	assert.throws(() => plain.mapMemory(), /not created with BPF_F_MMAPABLE/);
});

test("a frozen map refuses writes from user space", () => {
	using map = BpfMap.create({ ...ARRAY, frozen: true, contents: [{ key: arrayKey(0), value: u64(1n) }] });
	assert.throws(() => map.update(arrayKey(0), u64(2n)), { code: "PERMISSION" });
	assert.deepEqual(map.lookup(arrayKey(0)), u64(1n));
});

test("a map is found by its id", () => {
	using map = BpfMap.create(HASH);
	map.update(Uint8Array.of(1, 1), u64(9n));
	using again = BpfMap.open(map.info.id);
	assert.deepEqual(again.info, map.info);
	assert.equal(again.info.name, "t_hash");
	assert.deepEqual(again.lookup(Uint8Array.of(1, 1)), u64(9n));
	assert.throws(() => BpfMap.open(mapIdOf(0x7fff_ffff)), {
		message: "open map 2147483647: ENOENT (no such file or directory)",
	});
});

test("keys and values of the wrong size, and closed maps, are refused before the kernel is called", () => {
	const map = BpfMap.create(HASH);
	assert.throws(() => map.lookup(Uint8Array.of(1)), /a key of map t_hash has 2 bytes, this one 1/);
	assert.throws(() => map.update(Uint8Array.of(1, 2), Uint8Array.of(1)), /a value of map t_hash has 8 bytes/);
	map[Symbol.dispose]();
	map[Symbol.dispose]();
	assert.throws(() => map.lookup(Uint8Array.of(1, 2)), /map t_hash is closed/);
});

test("a map that cannot be filled leaves no descriptor open", () => {
	const contents = [{ key: arrayKey(9), value: u64(1n) }];
	assert.throws(() => BpfMap.create({ ...ARRAY, contents }), { code: "SYSCALL" });
});
