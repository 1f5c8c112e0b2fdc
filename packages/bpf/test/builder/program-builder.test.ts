import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatInstruction } from "../../src/asm/index.ts";
import * as bpf from "../../src/builder/index.ts";
import { commentAt, type ProgramSpec } from "../../src/spec.ts";
import { struct } from "../../src/struct.ts";
import { builder, emitted, lines, packet, refuses } from "./emit.ts";

describe("constants", () => {
	const cases: readonly [title: string, body: (p: bpf.ProgramBuilder) => void, expected: string[]][] = [
		["a small one is an immediate", (p) => p.u64("a").set(5), ["r0 = 5"]],
		["a negative one is sign-extended", (p) => p.u64("a").set(-1), ["r0 = -1"]],
		["32 unsigned bits are moved by the 32-bit form", (p) => p.u64("a").set(0xffff_ffff), ["w0 = -1"]],
		["a larger one takes two slots", (p) => p.u64("a").set(2n ** 40n), ["r0 = 0x10000000000 ll"]],
		[
			"one too large for an immediate goes through a register",
			(p) => p.u64("a").set(0).and(0xffff_fffe),
			["r0 = 0", "r5 = 0xfffffffe ll", "r0 &= r5"],
		],
		["the lower half is taken by a move", (p) => p.u64("a").set(-1).and(0xffff_ffff), ["r0 = -1", "w0 = w0"]],
		["a 32-bit value takes any 32 bits", (p) => p.u32("a").set(0).and(0xffff_ffff), ["w0 = 0", "w0 &= -1"]],
	];
	for (const [title, body, expected] of cases) {
		it(title, () => assert.deepEqual(emitted(body), expected));
	}

	it("are converted to the order of a field in network order, at no cost", () => {
		const code = emitted((p) => {
			const { ip, pass } = packet(p);
			p.gotoIf(ip.fragment, "&", 0x1fff, pass);
			p.gotoIf(ip.source, "==", 0x0a000001, pass);
			p.store(ip.totalLength, 0x1234);
			p.place(pass);
		});
		assert.deepEqual(code.slice(5), [
			"r4 = *(u16 *)(r0 + 20)",
			"if w4 & 0xff1f goto pass",
			"r4 = *(u32 *)(r0 + 26)",
			"if w4 == 0x100000a goto pass",
			"*(u16 *)(r0 + 16) = 0x3412",
		]);
	});

	it("that do not fit are refused", () => {
		refuses((p) => p.u32("a").set(2 ** 32), /4294967296 does not fit the 4 bytes of a/);
		refuses((p) => {
			const { ip } = packet(p);
			p.store(ip.tos, 256);
		}, /256 does not fit the 1 bytes of ipv4.tos/);
	});
});

describe("byte order", () => {
	it("must be host order for arithmetic and for less or greater comparisons", () => {
		refuses((p) => p.load(packet(p).ip.totalLength).add(1), /ipv4.totalLength is in network order/);
		refuses((p) => {
			const { ip, pass } = packet(p);
			p.gotoIf(ip.totalLength, ">", 20, pass);
		}, /ipv4.totalLength is in network order/);
		refuses((p) => {
			const { ctx, ip } = packet(p);
			using length = p.load(ctx.len);
			p.store(ip.identification, length);
		}, /ipv4.identification is in network order and skb.len in host order/);
	});

	it("is changed by a swap, and ignored on request", () => {
		const code = emitted((p) => {
			const { ip, pass } = packet(p);
			using length = p.load(ip.totalLength).toHost();
			p.gotoIf(length, ">", 1500, pass);
			using sum = p.load(ip.source).raw(64);
			sum.add(1);
			p.place(pass);
		});
		assert.deepEqual(code.slice(5), [
			"r4 = *(u16 *)(r0 + 16)",
			"r4 = be16 r4",
			"if w4 > 0x5dc goto pass",
			"r3 = *(u32 *)(r0 + 26)",
			"r3 += 1",
		]);
	});

	it("of skb.protocol is that of 16 bits in a longer field", () => {
		const code = emitted((p) => {
			const ctx = p.context(bpf.SKB);
			p.if(ctx.protocol, "==", 0x86dd, () => p.exit(2));
		});
		assert.equal(code[1], "if w0 != 0xdd86 goto end");
	});
});

describe("registers", () => {
	it("are free again at the end of a scope", () => {
		const code = emitted((p) => {
			for (let n = 0; n < 20; n++) {
				using counter = p.u32("counter");
				counter.set(n);
			}
		});
		assert.equal(code.length, 20);
		assert.equal(code[19], "w0 = 19");
	});

	it("are free where paths meet after the scope of a value that each path had", () => {
		const code = emitted((p) => {
			const ctx = p.context(bpf.SKB);
			for (let n = 0; n < 10; n++) {
				const next = p.label("next");
				{
					using mark = p.load(ctx.mark);
					p.gotoIf(mark, "==", n, next);
					p.gotoIf(mark, "==", n + 100, next);
					p.goto(next);
				}
				p.place(next);
			}
		});
		assert.equal(code.length, 30);
	});

	it("of 32 bits are compared with 64 at full width, and truncated to size", () => {
		const code = emitted((p) => {
			const narrow = p.u32("narrow").set(1);
			const wide = p.u64("wide").set(2);
			const out = p.label("out");
			p.gotoIf(narrow, "<", wide, out);
			wide.raw(32);
			p.place(out);
		});
		assert.deepEqual(code, ["w0 = 1", "r5 = 2", "if r0 < r5 goto out", "w5 = w5"]);
		refuses((p) => {
			const { data } = packet(p);
			const field = bpf.view(data, struct("f", { wide: "u64" })).wide;
			p.load(field, { into: p.u32("narrow") });
		}, /f.wide has 64 bits, narrow 32/);
	});

	it("run out with an error that names the values in them", () => {
		refuses((p) => {
			for (let n = 0; n < 6; n++) p.u32(`v${n}`);
		}, /allocate v5: no scratch register is free \(r0 v0, r5 v1, r4 v2, r3 v3, r2 v4, r1 ctx\)/);
	});

	it("of arguments are lost by a call", () => {
		refuses((p) => {
			const a = p.u32("a", 2).set(1);
			p.call("bpf_ktime_get_ns", []);
			a.add(1);
		}, /a is no longer in a register: it was in r2, lost by the call of bpf_ktime_get_ns/);
	});

	it("stay the same if a lost value is loaded again", () => {
		const code = emitted((p) => {
			const { ctx, data, end, pass } = packet(p);
			p.keep(ctx);
			p.keep(data);
			p.run("bpf_skb_pull_data", [ctx, 34]);
			p.load(ctx.data, { into: data });
			p.load(ctx.data_end, { into: end });
			p.prove(data, 34, end, pass);
			p.load(bpf.view(data, bpf.IPV4, 14).tos);
			p.placeBare(pass);
		});
		assert.deepEqual(code.slice(10, 12), ["r7 = *(u32 *)(r6 + 76)", "r5 = *(u32 *)(r6 + 80)"]);
		refuses((p) => {
			const { ctx, data } = packet(p);
			p.keep(ctx);
			p.run("bpf_skb_pull_data", [ctx, 34]);
			p.u32("other", 0);
			p.load(ctx.data, { into: data });
		}, /allocate data: no r0 register is free \(r0 other\)/);
	});

	it("that are kept survive calls", () => {
		const code = emitted((p) => {
			const ctx = p.context(bpf.SKB);
			p.keep(ctx);
			p.call("bpf_ktime_get_ns", []);
			p.load(ctx.len, { in: 3 });
		});
		assert.deepEqual(code, ["r6 = r1", "call bpf_ktime_get_ns#5", "r3 = *(u32 *)(r6 + 0)"]);
	});

	it("lose packet pointers, kept or not, if the packet may move", () => {
		refuses((p) => {
			const { ctx, data, ip } = packet(p);
			p.keep(data);
			p.call("bpf_skb_pull_data", [ctx, 0]);
			p.load(ip.tos);
		}, /data is no longer in a register: bpf_skb_pull_data may move the packet/);
	});

	it("are known after a join only if every path has the same value in them", () => {
		refuses((p) => {
			const ctx = p.context(bpf.SKB);
			p.keep(ctx);
			const a = p.u32("a").set(1);
			p.if(ctx.len, ">", 100, () => {
				p.call("bpf_ktime_get_ns", []);
			});
			p.exit(a);
		}, /a is no longer in a register: not every path to end has it/);
	});

	it("cannot be read before they are set on every path", () => {
		refuses((p) => {
			const ctx = p.context(bpf.SKB);
			const a = p.u32("a");
			p.if(ctx.len, ">", 100, () => void a.set(1));
			p.exit(a);
		}, /a is read before it is set/);
	});
});

describe("values with the same register on all paths", () => {
	const memory = {
		name: "memory",
		type: "BPF_MAP_TYPE_ARRAY",
		keySize: 4,
		valueSize: 64,
		maxEntries: 1,
	} as const;

	it("return after a call has lost them, each to its own register", () => {
		const code = emitted((p) => {
			const at = p.pointer("at", 9);
			const sum = p.u32("sum", 4);
			p.release(at, sum);
			p.run("bpf_get_smp_processor_id", []);
			p.mapValue(memory, 8, { into: at });
			p.revive(sum);
			sum.set(3);
		});
		assert.deepEqual(code, ["call bpf_get_smp_processor_id#8", "r9 = map memory value + 8", "w4 = 3"]);
	});

	it("are in the same place where paths meet that found them in different ways", () => {
		assert.doesNotThrow(() =>
			emitted((p) => {
				const ctx = p.context(bpf.SKB);
				const found = p.label("found");
				const other = p.label("other");
				const value = p.u32("value", 4);
				p.release(value);
				p.gotoIf(ctx.mark, "==", 0, other);
				p.revive(value);
				value.set(1);
				p.goto(found);
				p.place(other);
				p.load(ctx.mark, { into: value });
				p.goto(found);
				p.place(found);
				value.add(1);
			}),
		);
	});

	it("cannot be read before they are set again", () => {
		refuses((p) => {
			const value = p.u32("value", 4);
			value.set(1);
			p.release(value);
			p.revive(value);
			p.exit(value);
		}, /value is read before it is set/);
	});

	it("are refused a register that another value has", () => {
		refuses((p) => {
			const value = p.u32("value", 4);
			p.release(value);
			p.u32("other", 4).set(1);
			p.revive(value);
		}, /allocate value: no r4 register is free \(r4 other\)/);
	});

	it("a packet pointer can only be read as far as it is proven", () => {
		refuses((p) => {
			const { data } = packet(p);
			const at = p.packetPointer("at", 7);
			at.set(data).add(30);
			p.load(bpf.view(at, bpf.UDP).source);
			p.load(bpf.view(at, bpf.UDP).checksum);
		}, /udp.checksum is bytes 6-7 of at, of which 4 are proven/);
	});
});

describe("calls", () => {
	it("move no argument that is in its place, and load the rest directly", () => {
		const code = emitted((p) => {
			const ctx = p.context(bpf.SKB);
			const difference = p.u64("difference", 4).set(7);
			p.call("bpf_l4_csum_replace", [ctx, 50, 0, difference, 0x10]);
		});
		assert.deepEqual(code, ["r4 = 7", "r2 = 50", "r3 = 0", "r5 = 16", "call bpf_l4_csum_replace#11"]);
	});

	it("exchange registers through r0", () => {
		const code = emitted((p) => {
			const ctx = p.context(bpf.SKB);
			const a = p.u32("a", 2).set(1);
			p.call("bpf_redirect", [a, p.load(ctx.len, { in: 3 })]);
		});
		assert.deepEqual(code.slice(2), ["r1 = r2", "r2 = r3", "call bpf_redirect#23"]);
		const ring = emitted((p) => {
			const ctx = p.context(bpf.SKB);
			const a = p.u32("a", 2).set(1);
			p.call("bpf_csum_update", [a, ctx as never]);
		});
		assert.deepEqual(ring.slice(1), ["r0 = r2", "r2 = r1", "r1 = r0", "call bpf_csum_update#40"]);
	});

	it("pass a place as its address", () => {
		const code = emitted((p) => {
			const ctx = p.context(bpf.SKB);
			const numbers = p.stack("numbers", struct("numbers", { first: "u32", second: "u32" }));
			p.run("bpf_skb_load_bytes", [ctx, 20, numbers.second, 4]);
		});
		assert.deepEqual(code.slice(0, 2), ["r3 = r10", "r2 = 20"]);
		assert.ok(code.includes("r3 += -4"));
	});

	it("leave r0 free if their result is not needed", () => {
		const code = emitted((p) => {
			p.run("bpf_ktime_get_ns", []);
			p.u32("a", 0).set(1);
		});
		assert.deepEqual(code, ["call bpf_ktime_get_ns#5", "w0 = 1"]);
	});

	it("need as many arguments as the helper has", () => {
		refuses((p) => void p.call("bpf_redirect", [1]), /bpf_redirect takes 2 arguments, 1 are given/);
	});
});

describe("the packet", () => {
	it("is proven once on each path", () => {
		const code = emitted((p) => {
			const { data, end, ip, pass } = packet(p);
			p.prove(data, 20, end, pass);
			p.load(ip.destination);
			p.place(pass);
		});
		assert.deepEqual(code.slice(2), [
			"r4 = r0",
			"r4 += 34",
			"if r4 > r5 goto pass",
			"r4 = *(u32 *)(r0 + 30)",
		]);
	});

	it("is not read beyond what is proven", () => {
		refuses((p) => {
			const { data } = packet(p);
			p.load(bpf.view(data, bpf.TCP, 34).source);
		}, /tcp.source is bytes 34-35 of data, of which 34 are proven/);
	});

	it("is proven after a join as far as on the path that has proven least", () => {
		refuses((p) => {
			const { ctx, data, end, pass, ip } = packet(p, undefined, 14);
			p.if(ctx.len, ">", 60, () => p.prove(data, 34, end, pass));
			p.load(ip.tos);
		}, /ipv4.tos is bytes 15-15 of data, of which 14 are proven/);
	});

	it("is proven against the end in the context too", () => {
		const code = emitted((p) => {
			const ctx = p.context(bpf.SKB);
			const pass = p.label("pass");
			const data = p.load(ctx.data, { name: "data" });
			p.prove(data, 34, ctx.data_end, pass);
			p.load(bpf.view(data, bpf.IPV4, 14).tos);
			p.place(pass);
		});
		assert.deepEqual(code.slice(1, 5), [
			"r5 = *(u32 *)(r1 + 80)",
			"r4 = r0",
			"r4 += 34",
			"if r4 > r5 goto pass",
		]);
	});

	it("that is too short can be made longer in an aside", () => {
		const p = builder();
		const ctx = p.context(bpf.SKB);
		const drop = p.label("drop");
		p.keep(ctx);
		const data = p.load(ctx.data, { name: "data", in: "kept" });
		const end = p.load(ctx.data_end, { name: "end" });
		p.unlessProven(data, 34, end, () => {
			p.run("bpf_skb_pull_data", [ctx, 34]);
			p.load(ctx.data, { into: data });
			p.load(ctx.data_end, { into: end });
			p.prove(data, 34, end, drop);
		});
		p.load(bpf.view(data, bpf.IPV4, 14).tos);
		p.exit(0);
		p.placeBare(drop);
		p.exit(2);
		const code = lines(p.build());
		assert.equal(code[5], "if r5 > r0 goto data short");
		assert.equal(code[6], "long enough: r5 = *(u8 *)(r7 + 15)");
		assert.equal(code.at(-1), "goto long enough");
	});

	it("is copied with as few accesses as possible", () => {
		const code = emitted((p) => {
			const { data, end, pass } = packet(p);
			p.prove(data, 54, end, pass);
			const address = p.stack("address", struct("address", { bytes: { bytes: 16 } })).bytes;
			p.copyBytes(address, bpf.view(data, bpf.IPV6, 14).source);
			p.place(pass);
		});
		assert.deepEqual(code.slice(8), [
			"r4 = *(u64 *)(r0 + 22)",
			"*(u64 *)(r10 - 16) = r4",
			"r4 = *(u64 *)(r0 + 30)",
			"*(u64 *)(r10 - 8) = r4",
		]);
		refuses((p) => {
			const { ip } = packet(p);
			p.copyBytes(ip.source, ip.tos);
		}, /ipv4.source has 4 bytes, ipv4.tos has 1: they cannot be copied/);
	});

	it("receives constant bytes as immediates", () => {
		const code = emitted((p) => {
			const stack = p.stack("s", struct("s", { sixteen: { bytes: 16 } }));
			p.storeBytes(stack.sixteen, Uint8Array.of(0xfc, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
		});
		assert.deepEqual(code, [
			"*(u32 *)(r10 - 16) = 0x10000fc",
			"*(u32 *)(r10 - 12) = 2",
			"*(u64 *)(r10 - 8) = 0",
		]);
	});

	it("stays proven for a pointer that moves by a constant, not by a value", () => {
		const advance = (by: (p: bpf.ProgramBuilder) => bpf.Operand) => (p: bpf.ProgramBuilder) => {
			const { data, pass } = packet(p);
			data.add(by(p));
			p.load(bpf.view(data, bpf.IPV4).destination);
			p.place(pass);
			p.exit(0);
		};
		const p = builder();
		advance(() => 14)(p);
		assert.ok(lines(p.build()).includes("r4 = *(u32 *)(r0 + 16)"));
		refuses(
			advance((p) => p.u64("n").set(14)),
			/of which 0 are proven/,
		);
	});
});

describe("branches", () => {
	it("jump over the case that does not apply", () => {
		const code = emitted((p) => {
			const ctx = p.context(bpf.SKB);
			using mark = p.load(ctx.mark);
			p.if(
				mark,
				"==",
				7,
				() => p.store(ctx.mark, 8),
				() => p.store(ctx.mark, 9),
			);
		});
		assert.deepEqual(code, [
			"r0 = *(u32 *)(r1 + 8)",
			"if w0 != 7 goto else",
			"*(u32 *)(r1 + 8) = 8",
			"goto end",
			"else: *(u32 *)(r1 + 8) = 9",
		]);
	});

	it("on bits are swapped, because no jump tests for no common bit", () => {
		const code = emitted((p) => {
			const ctx = p.context(bpf.SKB);
			p.if(ctx.mark, "&", 1, () => p.store(ctx.mark, 8));
		});
		assert.deepEqual(code.slice(1, 4), ["if w0 & 1 goto then", "goto end", "then: *(u32 *)(r1 + 8) = 8"]);
	});

	it("that end need no jump to the end", () => {
		const p = builder();
		const ctx = p.context(bpf.SKB);
		p.if(
			ctx.mark,
			"==",
			7,
			() => p.exit(2),
			() => p.exit(0),
		);
		p.comment("nothing arrives here");
		p.exit(1);
		assert.deepEqual(lines(p.build()), [
			"r0 = *(u32 *)(r1 + 8)",
			"if w0 != 7 goto else",
			"r0 = 2",
			"exit",
			"else: r0 = 0",
			"exit",
		]);
	});

	it("compare longer fields in words, under a mask", () => {
		const code = emitted((p) => {
			const { data, end, pass } = packet(p);
			p.prove(data, 54, end, pass);
			const ip6 = bpf.view(data, bpf.IPV6, 14);
			const network = Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
			const mask = Uint8Array.from(network, (_, n) => (n < 6 ? 255 : 0));
			p.gotoUnlessBytes(ip6.source, network, pass, mask);
			p.place(pass);
		});
		assert.deepEqual(code.slice(8), [
			"r4 = *(u32 *)(r0 + 22)",
			"if w4 != 0xb80d0120 goto pass",
			"r4 = *(u32 *)(r0 + 26)",
			"w4 &= 0xffff",
			"if w4 != 0x100 goto pass",
		]);
	});

	it("on membership take one step for any number of members", () => {
		const test = (go: "gotoIfMember" | "gotoUnlessMember", members: number[]) =>
			emitted((p) => {
				const out = p.label("out");
				const n = p.load(p.context(bpf.SKB).mark).and(63);
				p[go](n, members, out);
				p.place(out);
			}).slice(2);
		assert.deepEqual(test("gotoIfMember", [1, 3, 63]), [
			"r5 = 0x800000000000000a ll",
			"r5 >>= r0",
			"if r5 & 1 goto out",
		]);
		assert.deepEqual(test("gotoUnlessMember", [0, 1]), ["r5 = -4", "r5 >>= r0", "if r5 & 1 goto out"]);
		assert.deepEqual(test("gotoIfMember", [7]), ["if w0 == 7 goto out"]);
		assert.deepEqual(test("gotoUnlessMember", [7]), ["if w0 != 7 goto out"]);
		assert.deepEqual(test("gotoUnlessMember", [...Array(64).keys()]), []);
	});

	it("that are unlikely are at the end, under the comment of their place, and jump back", () => {
		const p = builder();
		const ctx = p.context(bpf.SKB);
		p.comment("look at the mark");
		p.unlikely(ctx.mark, "==", 7, () => p.store(ctx.mark, 8));
		p.comment("and on");
		p.store(ctx.priority, 1);
		p.exit(0);
		const spec = p.build();
		assert.deepEqual(lines(spec), [
			"r0 = *(u32 *)(r1 + 8)",
			"if w0 == 7 goto aside",
			"back: *(u32 *)(r1 + 32) = 1",
			"r0 = 0",
			"exit",
			"aside: *(u32 *)(r1 + 8) = 8",
			"goto back",
		]);
		assert.equal(commentAt(spec, 5), "look at the mark");
	});

	it("that are unlikely can use the values in scope, and must not lose those that are needed later", () => {
		const p = builder();
		const ctx = p.context(bpf.SKB);
		{
			using mark = p.load(ctx.mark);
			p.unlikely(mark, ">", 7, () => {
				p.if(mark, "==", 9, () => p.store(ctx.priority, 2));
				mark.sub(8);
			});
			p.store(ctx.mark, mark);
		}
		p.exit(0);
		assert.equal(lines(p.build()).at(-2), "end: w0 -= 8");
		refuses((q) => {
			const skb = q.context(bpf.SKB);
			q.keep(skb);
			const mark = q.load(skb.mark);
			q.unlikely(mark, ">", 7, () => q.run("bpf_ktime_get_ns", []));
			q.exit(mark);
		}, /jump back to back: skb.mark is not in r0/);
	});

	it("to one of several labels treat neighbours with the same label as one", () => {
		const p = builder();
		const ctx = p.context(bpf.SKB);
		const mark = p.load(ctx.mark);
		const labels = [p.label("low"), p.label("one"), p.label("high")] as const;
		const [low, one, high] = labels;
		const of = (n: number) => (n === 20 ? one : n < 32 ? low : high);
		p.gotoOneOf(mark, new Map(Array.from({ length: 64 }, (_, n) => [n, of(n)])));
		labels.forEach((label, index) => {
			p.place(label);
			p.exit(index + 100);
		});
		const spec = p.build();
		for (const [n, expected] of [
			[0, 100],
			[19, 100],
			[20, 101],
			[21, 100],
			[31, 100],
			[32, 102],
			[63, 102],
		] as const) {
			const { result, jumps } = interpret(spec, n);
			assert.equal(result, expected, `${n}`);
			assert.ok(jumps <= 2);
		}
	});

	it("of a switch on 64 numbers are found in at most eight comparisons", () => {
		const p = builder();
		const ctx = p.context(bpf.SKB);
		const cases = Array.from({ length: 64 }, (_, n) => ({ values: [n], body: () => p.exit(n + 100) }));
		p.switch(ctx.mark, cases, () => p.exit(0));
		const spec = p.build();
		for (const mark of [0, 1, 31, 32, 62, 63, 64, 1000]) {
			const { result, jumps } = interpret(spec, mark);
			assert.equal(result, mark < 64 ? mark + 100 : 0);
			assert.ok(jumps <= 8, `${jumps} comparisons for ${mark}`);
		}
	});

	it("of a switch must differ", () => {
		refuses((p) => {
			const ctx = p.context(bpf.SKB);
			p.switch(ctx.mark, [{ values: [1, 1], body: () => p.exit(0) }]);
		}, /dispatch on skb.mark: two cases have 1/);
	});
});

describe("labels", () => {
	it("can be jumped back to with the values that were known there", () => {
		const p = builder();
		const n = p.u32("n").set(8);
		const again = p.label("again");
		p.place(again);
		n.sub(1);
		p.gotoIf(n, "!=", 0, again);
		p.exit(0);
		assert.deepEqual(lines(p.build()), [
			"w0 = 8",
			"again: w0 -= 1",
			"if w0 != 0 goto again",
			"r0 = 0",
			"exit",
		]);
		refuses((q) => {
			const m = q.u32("m").set(8);
			const back = q.label("back");
			q.place(back);
			q.call("bpf_ktime_get_ns", []);
			q.goto(back);
			void m;
		}, /jump back to back: (m is not in r0|ctx is not in r1)/);
	});

	it("of loops keep r6-r9 and the stack, and nothing else", () => {
		const p = builder();
		const left = p.u64("left", "kept").set(3);
		p.loop("again", (again) => {
			p.run("bpf_ktime_get_ns", []);
			left.sub(1);
			p.gotoIf(left, "!=", 0, again);
		});
		p.exit(0);
		assert.equal(lines(p.build())[1], "again: call bpf_ktime_get_ns#5");
		refuses((q) => {
			const scratch = q.u64("scratch").set(3);
			q.loop("again", () => scratch.add(1));
		}, /scratch is no longer in a register: only what is kept is there at the head of loop again/);
	});

	it("that are bare can be reached with any registers, and keep none", () => {
		const p = builder();
		const ctx = p.context(bpf.SKB);
		const pass = p.label("pass");
		const mark = p.load(ctx.mark);
		p.unlikely(mark, "==", 1, () => {
			p.release(mark);
			p.goto(pass);
		});
		p.goto(pass);
		p.placeBare(pass);
		p.exit(0);
		assert.equal(lines(p.build()).length, 4);
		refuses((q) => {
			const kept = q.u64("kept", "kept").set(1);
			q.placeBare(q.label("bare"));
			q.exit(kept);
		}, /kept is no longer in a register: nothing is kept at bare/);
	});

	it("must be placed once, and every path must end", () => {
		refuses((p) => p.goto(p.label("nowhere")), /label nowhere is jumped to and never placed/);
		refuses((p) => {
			const label = p.label("twice");
			p.place(label);
			p.place(label);
		}, /label twice is placed twice/);
		refuses((p) => void p.u32("a").set(1), /can run past its end/);
	});

	it("of jumps to jumps are taken at once, and a jump over a jump is inverted", () => {
		const p = builder();
		const ctx = p.context(bpf.SKB);
		const [a, b, pass] = [p.label("a"), p.label("b"), p.label("pass")];
		p.gotoIf(ctx.mark, "==", 1, a);
		p.goto(b);
		p.place(a);
		p.store(ctx.mark, 2);
		p.place(b);
		p.goto(pass);
		p.place(pass);
		p.exit(0);
		assert.deepEqual(lines(p.build()), [
			"r0 = *(u32 *)(r1 + 8)",
			"if w0 != 1 goto pass",
			"*(u32 *)(r1 + 8) = 2",
			"pass: r0 = 0",
			"exit",
		]);
	});
});

describe("the verifier's knowledge of a value", () => {
	it("is dropped without a change", () => {
		const code = emitted((p) => {
			const unknown = p.load(p.context(bpf.SKB).mark);
			p.forget(p.u32("narrow").set(1), unknown);
			p.forget(p.u64("wide").set(1), unknown);
		});
		assert.deepEqual(code.slice(1), ["w5 = 1", "w5 ^= w0", "w5 ^= w0", "r4 = 1", "r4 ^= r0", "r4 ^= r0"]);
	});
});

describe("checksums", () => {
	it("are folded as often as the largest sum requires", () => {
		const fold = (most: bigint) =>
			emitted((p) => {
				p.fold(p.u64("sum").set(1), most);
			}).slice(1);
		assert.deepEqual(fold(2n * 0xffff_ffffn), ["r5 = r0", "r5 >>= 32", "w0 += w5"]);
		assert.equal(fold(5n * 0xffff_ffffn).length, 7);
	});

	it("are fields of 16 bits", () => {
		refuses((p) => {
			const { ip } = packet(p);
			p.addToChecksum(ip.source, p.u32("sum").set(1));
		}, /ipv4.source has 4 bytes; Internet checksums have 2/);
	});
});

describe("structures", () => {
	it("have the same offsets as in user space", () => {
		for (const name of ["len", "mark", "data", "data_end", "vlan_tci", "gso_size", "tstamp"] as const)
			assert.equal(bpf.SKB.fields[name].offset, bpf.SKB.offsetOf(name));
		assert.equal(bpf.XDP.fields.data_end.offset, bpf.XDP.offsetOf("data_end"));
		const wire = struct("wire", { port: "be16", address: { bytes: 4 }, time: "u64", name: { text: 3 } });
		const { fields, bytes } = wire;
		assert.deepEqual([bytes, wire.size], [24, 24]);
		assert.equal(wire.decode(wire.encode({ port: 80, time: 7n })).time, 7n);
		assert.deepEqual(
			[fields.port.order, fields.address.bytes, fields.time.offset, fields.name.bytes],
			["network", 4, 8, 3],
		);
	});

	it("are one place as a whole", () => {
		const code = emitted((p) => {
			const ports = p.stack("ports", struct("ports", { source: "be16", destination: "be16" }));
			p.store(bpf.whole(ports), 0);
		});
		assert.deepEqual(code, ["*(u32 *)(r10 - 8) = 0"]);
	});
});

describe("comments", () => {
	it("cover their instructions, and an inner one ends with its block", () => {
		const p = builder();
		const ctx = p.context(bpf.SKB);
		p.comment("look at the mark");
		p.if(ctx.mark, "==", 7, () => {
			p.comment("change it");
			p.store(ctx.mark, 8);
		});
		p.store(ctx.priority, 1);
		p.exit(0);
		const spec = p.build();
		const comments = spec.instructions.map((_, slot) => commentAt(spec, slot));
		const [look, change] = ["look at the mark", "change it"];
		assert.deepEqual(comments, [look, look, change, look, look, look]);
	});
});

/** Runs a program of jumps on r0 (the mark) and moves: enough to follow a switch. */
function interpret(spec: ProgramSpec, mark: number): { result: number; jumps: number } {
	const indexOf = new Map(spec.instructions.map(({ symbol }, index) => [symbol, index]));
	let r0 = 0;
	let jumps = 0;
	for (let at = 0; ; at++) {
		const instruction = spec.instructions[at];
		assert.ok(instruction);
		const text = formatInstruction(instruction);
		if (text === "exit") return { result: r0, jumps };
		const condition = /^if w0 (==|>=) /.exec(text)?.[1];
		const immediate = Number(instruction.immediate);
		if (condition !== undefined) jumps++;
		if (text.startsWith("r0 = *")) r0 = mark;
		else if (text.startsWith("r0 = ")) r0 = immediate;
		else if (condition === undefined || (condition === "==" ? r0 === immediate : r0 >= immediate)) {
			at = (indexOf.get(instruction.target) ?? Number.NaN) - 1;
		}
	}
}
