/**
 * Builds a program whose source reads in the order in which a packet is processed.
 *
 * Each method emits what its doc says at the current point of the program. The builder tracks what is known
 * along every path (flow.ts). A value that a call has lost, an unproven packet byte and a number in the wrong
 * byte order are build errors that name the value. Code that no path reaches is not emitted.
 */

import { mov } from "../asm/alu.ts";
import type { HelperName } from "../asm/helper-function.ts";
import type { AttachTypeName } from "../attach/attach-type.ts";
import type { KernelField } from "../kernel-types.ts";
import type { MapSpec, ProgramSpec, ProgramTypeName } from "../spec.ts";
import { Arithmetic } from "./arithmetic.ts";
import { Branch, type Case, type Comparison } from "./branch.ts";
import { type Argument, Call, type KernelFunction } from "./call.ts";
import { Checksum } from "./checksum.ts";
import { Emitter, type Label } from "./emitter.ts";
import { type ElementOptions, MapMemory } from "./map-memory.ts";
import { type LoadPlaceOptions, Memory } from "./memory.ts";
import { Stack } from "./stack.ts";
import { type Operand, type Placement, Value, type ValueType } from "./value.ts";
import { ADDRESS, type Fields, isPlace, type Place, type Structure, type View, view, whole } from "./view.ts";

export interface ProgramOptions {
	/** At most 15 letters, digits, `_` and `.`. */
	readonly name: string;
	readonly type: ProgramTypeName;
	readonly expectedAttachType?: AttachTypeName;
	/**
	 * XDP only: accepts packets in several buffers (BPF_F_XDP_HAS_FRAGS, Linux 5.18); only the first buffer
	 * can be proven.
	 */
	readonly takesFragments?: boolean;
	/** XDP and SCHED_CLS only: an `ExitLink` can observe its exit. */
	readonly traceable?: boolean;
	/** Default `GPL`: bpf_trace_printk and a few others require it. */
	readonly license?: string;
}

export class ProgramBuilder {
	readonly #options: ProgramOptions;
	readonly #emitter: Emitter;
	readonly #arithmetic: Arithmetic;
	readonly #memory: Memory;
	readonly #branch: Branch;
	readonly #call: Call;
	readonly #checksum: Checksum;
	readonly #mapMemory: MapMemory;
	readonly #maps = new Map<string, MapSpec>();
	readonly #context: Value;
	readonly #stack: Stack;

	constructor(options: ProgramOptions) {
		this.#options = options;
		this.#emitter = new Emitter(options.name);
		this.#arithmetic = new Arithmetic(this.#emitter);
		this.#memory = new Memory(this.#emitter, this.#arithmetic);
		this.#branch = new Branch(this.#emitter, this.#arithmetic, this.#memory);
		this.#call = new Call(this.#emitter, this.#arithmetic);
		this.#checksum = new Checksum(this.#emitter, this.#arithmetic, this.#memory);
		this.#mapMemory = new MapMemory(this.#emitter, this.#arithmetic, this.#branch);
		this.#context = this.#arithmetic.adopt(pointer("ctx"), 1);
		const frame = this.#arithmetic.adopt({ ...pointer("stack"), kind: "stack" }, 10);
		this.#emitter.bare.put(10, frame);
		this.#emitter.bare.assumeWritten();
		this.#stack = new Stack(this.#emitter, frame);
	}

	/** The purpose of the following instructions: shown above them in listings, quoted in verifier errors. */
	comment(text: string): void {
		this.#emitter.comment(text);
	}

	/** The context of the program, in r1 until a call or `keep`. */
	context<F extends Fields>(structure: Structure<F>): View<F> {
		return view(this.#context, structure);
	}

	/** `r6..r9 = value`: from here on it survives calls. For a view, moves its base. */
	keep(kept: Value | View<Fields>): void {
		const value = kept instanceof Value ? kept : kept[ADDRESS].base;
		const { flow } = this.#emitter;
		if (flow === undefined) return;
		const from = this.#emitter.read(value);
		if (from >= 6) return;
		const proven = flow.proven(value);
		flow.release(value);
		const to = flow.take(value, "kept");
		flow.assign(value);
		flow.prove(value, proven);
		this.#emitter.emit(mov.reg(to, from), `keep ${value.name}`);
	}

	/** A 32-bit value in a new register, which must be set before it is read. */
	u32(name: string, placement: Placement = "scratch"): Value {
		return this.#arithmetic.allocate({ name, width: 32, bytes: 4, order: "none", kind: "scalar" }, placement);
	}

	/** A 64-bit value in a new register, which must be set before it is read. */
	u64(name: string, placement: Placement = "scratch"): Value {
		return this.#arithmetic.allocate({ name, width: 64, bytes: 8, order: "none", kind: "scalar" }, placement);
	}

	/** A packet pointer with nothing proven, in a new register, which must be set before it is read. */
	packetPointer(name: string, placement: Placement = "scratch"): Value {
		return this.#arithmetic.allocate({ ...pointer(name), kind: "packet" }, placement);
	}

	/** A pointer to a map's memory in a new register, which must be set (`mapValue`) before it is read. */
	pointer(name: string, placement: Placement = "scratch"): Value {
		return this.#arithmetic.allocate(pointer(name), placement);
	}

	/**
	 * Gives the value its previous register again, to be set anew: after `release`, or after a call or a join
	 * of paths has lost it. Does nothing if it still has the register. With this, a value can be in the same
	 * register on all the paths that meet at a label.
	 */
	revive(value: Value): void {
		this.#emitter.flow?.revive(value);
	}

	/** Frees the registers of these values on this path; `using` does so at the end of a scope. */
	release(...values: readonly (Value | View<Fields>)[]): void {
		for (const value of values)
			this.#arithmetic.release(value instanceof Value ? value : value[ADDRESS].base);
	}

	/** `name = value`, in another register; a packet pointer keeps its proven range. */
	copy(value: Value, name: string, placement: Placement = "scratch"): Value {
		const { width, bytes, order } = value;
		const kind = value.kind === "stack" ? "pointer" : value.kind;
		return this.#arithmetic.allocate({ name, width, bytes, order, kind }, placement).set(value);
	}

	/** `name = *place` */
	load(place: Place, options: LoadPlaceOptions = {}): Value {
		return this.#memory.load(place, options);
	}

	/** `*place = operand`; a number is converted to the byte order of the place */
	store(place: Place, operand: Operand): void {
		this.#memory.store(place, operand);
	}

	/** `*place = bytes`, as they stand in memory */
	storeBytes(place: Place, bytes: Uint8Array): void {
		this.#memory.storeBytes(place, bytes);
	}

	/**
	 * `*to = *from`, for the bytes that both have, through a register, at most `largest` bytes at once (4
	 * after a store of 4: processors do not forward two stores to one load)
	 */
	copyBytes(to: Place, from: Place, largest: 4 | 8 = 8): void {
		this.#memory.copyBytes(to, from, largest);
	}

	/** Sets all bytes of a structure or a place to 0. */
	clear(target: View<Fields> | Place): void {
		const place = isPlace(target) ? target : whole(target);
		this.#memory.storeBytes(place, new Uint8Array(place.field.bytes));
	}

	/**
	 * Stores a structure of 4 or 8 bytes at once, so other CPUs see its fields change together; missing
	 * fields become 0.
	 */
	storeFields<F extends Fields>(target: View<F>, values: { readonly [K in keyof F]?: Operand }): void {
		const given = Object.entries<Operand | undefined>(values);
		this.#memory.storeFields(
			target,
			Object.fromEntries(given.flatMap(([key, operand]) => (operand === undefined ? [] : [[key, operand]]))),
		);
	}

	/**
	 * `name = *place; if (name == expected) *place = replacement`, atomically (Linux 5.12). Uses r0, which
	 * must be free.
	 */
	compareExchange(place: Place, expected: Operand, replacement: Value, name = `${place.name} before`): Value {
		return this.#memory.compareExchange(place, expected, replacement, name);
	}

	/** `*place += by`, not atomic: only for per-CPU memory and the stack */
	increment(place: Place, by: Operand | Place): void {
		this.#memory.increment(place, by);
	}

	/** `lock *place += by` */
	atomicAdd(place: Place, by: Value): void {
		this.#memory.atomicAdd(place, by);
	}

	/** `if base + bytes > end goto otherwise`; emits nothing if the path has proven as much already */
	prove(base: Value, bytes: number, end: Value | Place, otherwise: Label): void {
		this.#memory.prove(base, bytes, end, otherwise);
	}

	/**
	 * Folds a ones' complement sum to 32 bits by adding the carries (RFC 1071). `most`, the largest possible
	 * sum, determines how often. The old value is gone.
	 */
	fold(sum: Value, most: bigint): Value {
		return this.#checksum.fold(sum, most);
	}

	/**
	 * `*checksum += sum` in ones' complement, for a field that makes the packet's own sum zero. `sum` is the
	 * old words minus the new ones (new words complemented, RFC 1624). The result is 0 only if both are 0, so
	 * it is also right for protocols in which 0 has a special meaning.
	 */
	addToChecksum(
		checksum: Place,
		sum: Value,
		most = sum.width === 32 ? 0xffff_ffffn : 0xffff_ffff_ffffn,
	): void {
		this.#checksum.add(checksum, sum, most);
	}

	/**
	 * Changes nothing except that the verifier no longer knows the value as one of a few numbers, for each of
	 * which it would follow a path of its own. `unknown`: any number that the verifier does not know.
	 */
	forget(value: Value, unknown: Value): void {
		this.#arithmetic.forget(value, unknown);
	}

	/** A structure on the stack, aligned to 8 bytes and not cleared. */
	stack<F extends Fields>(name: string, structure: Structure<F>): View<F> {
		return this.#stack.structure(name, structure);
	}

	/**
	 * `*slot = value`: stores the value in its own stack slot and frees its register until {@link restore}. A
	 * packet pointer keeps its proven range until a call may move the packet.
	 */
	park(value: Value): void {
		this.#stack.park(value);
	}

	/** `value = *slot`: loads a parked value, into its previous register if that is free. */
	restore(value: Value, placement?: Placement): void {
		this.#stack.restore(value, placement);
	}

	/** Declares a map for the arguments of calls and adds it to the program's spec. */
	map(spec: MapSpec): MapSpec {
		const other = this.#maps.get(spec.name);
		if (other !== undefined && other !== spec)
			throw this.#emitter.error(`two maps have the name ${spec.name}`);
		this.#maps.set(spec.name, spec);
		return spec;
	}

	/**
	 * `name = &map[0] + offset`: the memory of an array map (not per-CPU) without a call; elements follow by
	 * index. `into`: use the register of this pointer instead of a new one.
	 */
	mapValue(map: MapSpec, offset = 0, placement: Placement | { readonly into: Value } = "scratch"): Value {
		return this.#mapMemory.value(this.map(map), offset, placement);
	}

	/**
	 * `name = &map[0] + offset + index * size of structure; if index is past the end goto otherwise`: the
	 * structure with that index in the memory of an array with one element, with the proof that the verifier
	 * needs. `index` is unchanged.
	 */
	element<F extends Fields>(
		map: MapSpec,
		index: Value,
		structure: Structure<F>,
		otherwise: Label,
		options: ElementOptions = {},
	): View<F> {
		return this.#mapMemory.element(this.map(map), index, structure, otherwise, options);
	}

	/**
	 * Runs the program at `index` of a program array instead of this one, with the same context. Continues
	 * here if the slot is empty, or after 33 such calls. Values in r0-r5 are lost.
	 */
	tailCall(programs: MapSpec, index: Operand, context: View<Fields>): void {
		this.map(programs);
		if (programs.type !== "BPF_MAP_TYPE_PROG_ARRAY")
			throw this.#emitter.error(`tail call: map ${programs.name} is a ${programs.type}, not a program array`);
		this.run("bpf_tail_call", [context, programs, index]);
	}

	/**
	 * `result = helper(arguments)` in r0. Values in r0-r5 are lost, and packet pointers if the packet may
	 * move.
	 */
	call(helper: HelperName, args: readonly Argument[], result: string = helper): Value {
		return this.#call.call(helper, args, result);
	}

	/**
	 * `result = function(arguments)` in r0: a kernel function found by `lookUpKernelTypes`. The result is a
	 * pointer; values in r0-r5 are lost. Needs the JIT compiler.
	 */
	callKernelFunction(called: KernelFunction, args: readonly Argument[], result: string = called.name): Value {
		return this.#call.callKernelFunction(called, args, result);
	}

	/** `name = base->field`, for a kernel structure, with the offset that `lookUpKernelTypes` returns */
	loadKernelField(base: Value, field: KernelField, name: string): Value {
		return this.#memory.loadKernelField(base, field, name);
	}

	/** `helper(arguments)`, without the result. Values in r0-r5 are lost, as with `call`. */
	run(helper: HelperName, args: readonly Argument[]): void {
		this.release(this.call(helper, args));
	}

	/** `name = bpf_map_lookup_elem(map, key); if name == 0 goto otherwise` */
	lookup(
		map: MapSpec,
		key: Value | View<Fields> | Place,
		otherwise: Label,
		name = `${map.name} entry`,
	): Value {
		this.map(map);
		const entry = this.#call.call("bpf_map_lookup_elem", [map, key], name);
		this.#branch.gotoIf(entry, "==", 0, otherwise);
		return entry;
	}

	/**
	 * A label, which can be used before or after it is placed. A number is appended to a name that is taken.
	 */
	label(name: string): Label {
		return this.#emitter.label(name);
	}

	/** `label:` */
	place(label: Label): void {
		this.#emitter.place(label);
	}

	/** `label:`, where no register is needed any more, so any path can jump there, including asides */
	placeBare(label: Label): void {
		this.#emitter.place(label, "nothing");
	}

	/** `goto label` */
	goto(label: Label): void {
		this.#emitter.goto(label);
	}

	/** `if left comparison right goto label` */
	gotoIf(left: Value | Place, comparison: Comparison, right: Operand, label: Label): void {
		this.#branch.gotoIf(left, comparison, right, label);
	}

	/** `if !(left comparison right) goto label` */
	gotoUnless(left: Value | Place, comparison: Comparison, right: Operand, label: Label): void {
		this.#branch.gotoUnless(left, comparison, right, label);
	}

	/** `if (*place & mask) != (bytes & mask) goto label`, for values longer than a register */
	gotoUnlessBytes(
		place: Place,
		bytes: Uint8Array,
		label: Label,
		mask = new Uint8Array(bytes.length).fill(255),
	): void {
		this.#branch.gotoUnlessBytes(place, bytes, mask, label);
	}

	/**
	 * `if value is one of members goto label`: one step for any number of members; members and value are 0-63
	 */
	gotoIfMember(value: Value, members: Iterable<number>, label: Label): void {
		this.#branch.gotoIfMember(value, setOf(members), label);
	}

	/**
	 * `if value is not one of members goto label`: one step for any number of members; members and value are
	 * 0-63
	 */
	gotoUnlessMember(value: Value, members: Iterable<number>, label: Label): void {
		this.#branch.gotoUnlessMember(value, setOf(members), label);
	}

	/**
	 * `goto labels[value]`, for a value that is one of these numbers, by binary search; neighbours with the
	 * same label count as one
	 */
	gotoOneOf(value: Value, labels: ReadonlyMap<number, Label>): void {
		this.#branch.select(value, labels);
	}

	/**
	 * `if (left comparison right) { body }`, with the body at the end of the program, so the usual path is
	 * straight. The body must restore what was known here: it must load the values again that its calls lose.
	 */
	unlikely(left: Value | Place, comparison: Comparison, right: Operand, body: () => void): void {
		this.#branch.unlikely(left, comparison, right, body);
	}

	/**
	 * `if base + bytes > end { body }`, with the body at the end of the program; the body must prove as much,
	 * or jump elsewhere.
	 */
	unlessProven(base: Value, bytes: number, end: Value | Place, body: () => void): void {
		const short = this.label(`${base.name} short`);
		this.prove(base, bytes, end, short);
		this.#branch.aside(short, this.label("long enough"), body);
	}

	/**
	 * `name: { body }`: `again` is the label to jump back to. At its head a loop has only what survives a
	 * call, the stack and r6-r9; other registers are lost.
	 */
	loop(name: string, body: (again: Label) => void): void {
		this.#emitter.flow?.loseScratch(`only what is kept is there at the head of loop ${name}`);
		const again = this.#emitter.label(name);
		this.#emitter.place(again);
		body(again);
	}

	/** `if (left comparison right) { then } else { otherwise }` */
	if(
		left: Value | Place,
		comparison: Comparison,
		right: Operand,
		then: () => void,
		otherwise: () => void = () => {},
	): void {
		this.#branch.ifElse(left, comparison, right, then, otherwise);
	}

	/**
	 * `switch (subject) { case … default: otherwise }`, without fall-through; a binary search with immediates
	 */
	switch(subject: Value | Place, cases: readonly Case[], otherwise: () => void = () => {}): void {
		this.#branch.dispatch(subject, cases, otherwise);
	}

	/** `return result` */
	exit(result: Operand): void {
		const { flow } = this.#emitter;
		if (flow === undefined) return;
		if (result instanceof Value) {
			const register = this.#emitter.read(result);
			if (register !== 0) this.#emitter.emit(mov.reg(0, register), `result = ${result.name}`);
		} else {
			// The path ends here, so r0 is free.
			const occupant = flow.occupant(0);
			if (occupant !== undefined) flow.release(occupant);
			this.u64("result", 0).set(result);
		}
		this.#emitter.exit();
	}

	/**
	 * The program as data. Throws BpfError (BUILD) for a path without an end or a label that was never
	 * placed.
	 */
	build(): ProgramSpec {
		const { name, type, expectedAttachType, takesFragments, traceable, license = "GPL" } = this.#options;
		this.#emitter.writeAsides();
		return {
			name,
			type,
			...(expectedAttachType === undefined ? {} : { expectedAttachType }),
			...(takesFragments === undefined ? {} : { takesFragments }),
			...(traceable === undefined ? {} : { traceable }),
			license,
			instructions: this.#emitter.finish(),
			maps: [...this.#maps.values()],
		};
	}
}

/** The numbers as bits of a u64. */
function setOf(members: Iterable<number>): bigint {
	let set = 0n;
	for (const member of members) set |= 1n << BigInt(member);
	return set;
}

function pointer(name: string): ValueType {
	return { name, width: 64, bytes: 8, order: "none", kind: "pointer" };
}
