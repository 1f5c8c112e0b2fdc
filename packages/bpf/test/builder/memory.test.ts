import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as bpf from "../../src/index.ts";
import { emitted, packet, refuses } from "./emit.ts";

const MEMORY: bpf.MapSpec = {
	name: "memory",
	type: "BPF_MAP_TYPE_ARRAY",
	keySize: 4,
	valueSize: 256,
	maxEntries: 1,
};
const HASH: bpf.MapSpec = {
	name: "hash",
	type: "BPF_MAP_TYPE_HASH",
	keySize: 8,
	valueSize: 8,
	maxEntries: 4,
};
const PAIR = bpf.struct("pair", { first: "u32", second: "u32" });

describe("a parked value", () => {
	it("frees its register, and returns to it with its proven range", () => {
		const code = emitted((p) => {
			const { data, pass } = packet(p);
			p.park(data);
			using other = p.u64("other", 0);
			other.set(1);
			p.release(other);
			p.restore(data);
			p.load(bpf.view(data, bpf.ETHERNET).type);
			p.place(pass);
		});
		assert.deepEqual(code.slice(5), [
			"*(u64 *)(r10 - 8) = r0",
			"r0 = 1",
			"r0 = *(u64 *)(r10 - 8)",
			"r4 = *(u16 *)(r0 + 12)",
		]);
	});

	it("is refused if it is read before it is restored", () => {
		refuses((p) => {
			const value = p.u64("value").set(1);
			p.park(value);
			value.add(1);
		}, /value is no longer in a register: it is parked on the stack: restore\(\) it/);
	});

	it("is refused if not every path has parked it", () => {
		refuses((p) => {
			const value = p.u64("value").set(1);
			p.if(p.context(bpf.SKB).len, "==", 0, () => p.park(value));
			p.restore(value);
		}, /value is not parked on every path here/);
	});

	it("is refused if it points into a packet that a call may have moved", () => {
		refuses((p) => {
			const { ctx, data } = packet(p);
			p.park(data);
			p.run("bpf_skb_pull_data", [ctx, 0]);
			p.restore(data);
		}, /data is not parked on every path here/);
	});
});

describe("an element of a map's memory", () => {
	it("is found by its index, which is compared with the number of elements", () => {
		const code = emitted((p) => {
			const none = p.label("none");
			using index = p.load(p.context(bpf.SKB).mark);
			const pair = p.element(MEMORY, index, PAIR, none, { offset: 16 });
			p.store(pair.second, 7);
			p.place(none);
		});
		assert.deepEqual(code, [
			"r0 = *(u32 *)(r1 + 8)",
			"if w0 >= 30 goto none",
			"r5 = map memory value + 16",
			"r4 = r0",
			"r4 <<= 3",
			"r5 += r4",
			"*(u32 *)(r5 + 4) = 7",
		]);
	});

	it("is refused in a map that has no address, or no space for it", () => {
		refuses((p) => void p.mapValue(HASH), /address of map hash: it is a BPF_MAP_TYPE_HASH of 4 elements/);
		refuses((p) => void p.mapValue({ ...MEMORY, maxEntries: 2 }), /only an array of one has an address/);
		refuses((p) => {
			using index = p.u32("index").set(0);
			p.element(MEMORY, index, PAIR, p.label("none"), { offset: 252 });
		}, /no room for 8 bytes at 252 of 256/);
	});
});

describe("bytes on the stack", () => {
	it("are written and copied with aligned accesses", () => {
		const code = emitted((p) => {
			const slots = p.stack("slots", bpf.struct("slots", { head: "u32", body: { bytes: 12 } }));
			p.storeBytes(slots.body, new Uint8Array(12).fill(1));
			p.copyBytes(bpf.part(slots.body, 8, 4), slots.head);
		});
		assert.deepEqual(code, [
			"*(u32 *)(r10 - 12) = 0x1010101",
			"*(u32 *)(r10 - 8) = 0x1010101",
			"*(u32 *)(r10 - 4) = 0x1010101",
			"r0 = *(u32 *)(r10 - 16)",
			"*(u32 *)(r10 - 4) = r0",
		]);
	});

	it("are refused as a field that is not aligned", () => {
		refuses((p) => {
			p.store(p.stack("slots", bpf.struct("slots", { head: "u32", body: { bytes: 8 } })).body, 0);
		}, /slots.body has 8 bytes and is at -12 of the stack, which does not divide by them/);
	});

	it("are cleared with their padding", () => {
		const code = emitted((p) => p.clear(p.stack("pair", PAIR)));
		assert.deepEqual(code, ["*(u64 *)(r10 - 8) = 0"]);
	});
});

describe("a part of a place", () => {
	it("is refused past the place's end", () => {
		refuses((p) => {
			bpf.part(p.stack("pair", PAIR).first, 2, 4);
		}, /take bytes 2-5 of pair.first: it has bytes 0-3/);
	});
});

describe("fields stored together", () => {
	it("become one store of constants", () => {
		const code = emitted((p) => p.storeFields(p.stack("pair", PAIR), { first: 1, second: 2 }));
		assert.deepEqual(code, ["r0 = 0x200000001 ll", "*(u64 *)(r10 - 8) = r0"]);
	});

	it("are masked to the bytes of their fields", () => {
		const halves = bpf.struct("halves", { low: "u16", high: "u16", rest: "u32" });
		const code = emitted((p) => {
			using value = p.u32("value").set(5);
			p.storeFields(p.stack("halves", halves), { high: value, rest: 9 });
		});
		assert.deepEqual(code, [
			"w0 = 5",
			"r5 = r0",
			"r5 &= 0xffff",
			"r5 <<= 16",
			"r4 = 0x900000000 ll",
			"r5 |= r4",
			"*(u64 *)(r10 - 8) = r5",
		]);
	});

	it("are refused if they overlap, or need more than one store", () => {
		refuses((p) => {
			const three = bpf.struct("three", { a: "u32", b: "u32", c: "u32" });
			p.storeFields(p.stack("three", three), { a: 1 });
		}, /three has 12 bytes; one store has 4 or 8/);
	});
});

describe("a key of a map", () => {
	const key = bpf.struct("key", { port: "u32", protocol: "u32" });

	it("is refused if it has another size", () => {
		refuses((p) => {
			const stack = p.stack("key", key);
			p.clear(stack);
			p.lookup(HASH, stack.port, p.label("none"));
		}, /key.port has 4 bytes, a key of map hash has 8/);
	});

	it("is refused if a path has not written all of it", () => {
		refuses((p) => {
			const stack = p.stack("key", key);
			p.store(stack.port, 1);
			p.if(p.context(bpf.SKB).len, ">", 100, () => p.store(stack.protocol, 6));
			p.lookup(HASH, stack, p.label("none"));
		}, /key, a key of map hash, is not completely written on every path here/);
	});

	it("is accepted if every path has written it, or a helper has", () => {
		const code = emitted((p) => {
			const ctx = p.context(bpf.SKB);
			p.keep(ctx);
			const stack = p.stack("key", key);
			p.run("bpf_skb_load_bytes", [ctx, 0, stack, 8]);
			const none = p.label("none");
			using entry = p.lookup(HASH, stack, none);
			p.store(bpf.view(entry, PAIR).first, 1);
			p.place(none);
		});
		assert.equal(code.at(-1), "*(u32 *)(r0 + 0) = 1");
	});

	it("is checked, and so is the value of an update", () => {
		refuses((p) => {
			const stack = p.stack("key", key);
			const value = p.stack("value", PAIR);
			p.clear(stack);
			p.run("bpf_map_update_elem", [HASH, stack, value, 0]);
		}, /value, a value of map hash, is not completely written/);
	});
});

describe("results of helpers", () => {
	it("that may be negative are compared as signed numbers", () => {
		refuses((p) => {
			const ctx = p.context(bpf.SKB);
			p.keep(ctx);
			p.gotoIf(p.call("bpf_skb_pull_data", [ctx, 0]), "<", 1, p.label("failed"));
		}, /bpf_skb_pull_data may be negative/);
	});

	it("cannot be read if the helper returns none", () => {
		refuses((p) => {
			using entry = p.lookup(HASH, written(p), p.label("none"));
			p.exit(p.call("bpf_spin_lock", [entry]));
		}, /bpf_spin_lock is no longer in a register/);
	});
});

describe("a tail call", () => {
	it("is refused with a map of another type", () => {
		refuses((p) => p.tailCall(HASH, 0, p.context(bpf.SKB)), /map hash is a BPF_MAP_TYPE_HASH, not a program/);
	});
});

function written(p: bpf.ProgramBuilder): bpf.View {
	const stack = p.stack("key", PAIR);
	p.clear(stack);
	return stack;
}
