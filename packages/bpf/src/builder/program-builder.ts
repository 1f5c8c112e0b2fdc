/**
 * Builds a program so that its source reads like the packet's journey.
 *
 * Each method emits what its doc says, at the present point of the program. The builder follows every path
 * with what is known along it (flow.ts): a value lost by a call, a packet byte read without
 * proof, a number in the wrong byte order are errors of the build, with the name of the value. Where no path
 * arrives, nothing is emitted.
 */
import { mov } from "../asm/alu.ts";
import type { HelperName } from "../asm/helper-function.ts";
import type { KernelField } from "../kernel-types.ts";
import type { AttachTypeName, MapSpec, ProgramSpec, ProgramTypeName } from "../spec.ts";
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
	/** Of XDP: takes packets in several buffers (BPF_F_XDP_HAS_FRAGS, Linux 5.18); what is proven ends with the first. */
	readonly takesFragments?: boolean;
	/** Of XDP and SCHED_CLS: an `ExitLink` can look on at its exit. */
	readonly traceable?: boolean;
	/** `GPL` if absent: bpf_trace_printk and a few others ask for it. */
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

	/** What the following instructions are for: shown above them in listings, quoted in verifier errors. */
	comment(text: string): void {
		this.#emitter.comment(text);
	}

	/** The context that the program was called with, in r1 until a call or `keep`. */
	context<F extends Fields>(structure: Structure<F>): View<F> {
		return view(this.#context, structure);
	}

	/** `r6..r9 = value`: from here on it outlives calls. A view keeps its base. */
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

	/** A 32-bit value, in a register of its own, to be set before it is read. */
	u32(name: string, placement: Placement = "scratch"): Value {
		return this.#arithmetic.allocate({ name, width: 32, bytes: 4, order: "none", kind: "scalar" }, placement);
	}

	/** A 64-bit value, in a register of its own, to be set before it is read. */
	u64(name: string, placement: Placement = "scratch"): Value {
		return this.#arithmetic.allocate({ name, width: 64, bytes: 8, order: "none", kind: "scalar" }, placement);
	}

	/** A pointer into a packet, of which nothing is proven, in a register of its own, to be set before it is read. */
	packetPointer(name: string, placement: Placement = "scratch"): Value {
		return this.#arithmetic.allocate({ ...pointer(name), kind: "packet" }, placement);
	}

	/** A pointer to a map's memory, in a register of its own, to be set (`mapValue`) before it is read. */
	pointer(name: string, placement: Placement = "scratch"): Value {
		return this.#arithmetic.allocate(pointer(name), placement);
	}

	/**
	 * The value has its register again, to be set anew: after `release`, or where a call or a join of paths has lost it.
	 * Nothing where it still has it. So a value can be in the same register on all the paths that meet somewhere.
	 */
	revive(value: Value): void {
		this.#emitter.flow?.revive(value);
	}

	/** The registers of these values are free from here on, on this path; `using` does it at the end of a scope. */
	release(...values: readonly (Value | View<Fields>)[]): void {
		for (const value of values)
			this.#arithmetic.release(value instanceof Value ? value : value[ADDRESS].base);
	}

	/** `name = value`: the same in another register; a packet pointer stays proven as far. */
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
	 * `*to = *from`, as many bytes as both have, through a register; at most `largest` at once (4 where 4 have just been
	 * stored: a processor forwards no two stores to one load)
	 */
	copyBytes(to: Place, from: Place, largest: 4 | 8 = 8): void {
		this.#memory.copyBytes(to, from, largest);
	}

	/** All bytes of a structure, or of a place, are 0. */
	clear(target: View<Fields> | Place): void {
		const place = isPlace(target) ? target : whole(target);
		this.#memory.storeBytes(place, new Uint8Array(place.field.bytes));
	}

	/**
	 * A structure of 4 or 8 bytes by one store, so that no other CPU sees one field without the others; fields that are
	 * not given are 0.
	 */
	storeFields<F extends Fields>(target: View<F>, values: { readonly [K in keyof F]?: Operand }): void {
		const given = Object.entries<Operand | undefined>(values);
		this.#memory.storeFields(
			target,
			Object.fromEntries(given.flatMap(([key, operand]) => (operand === undefined ? [] : [[key, operand]]))),
		);
	}

	/**
	 * `name = *place; if (name == expected) *place = replacement`, as one step that no other CPU can come between
	 * (Linux 5.12). In r0, which must be free.
	 */
	compareExchange(place: Place, expected: Operand, replacement: Value, name = `${place.name} before`): Value {
		return this.#memory.compareExchange(place, expected, replacement, name);
	}

	/** `*place += by`, not atomic: for per-CPU memory and the stack */
	increment(place: Place, by: Operand | Place): void {
		this.#memory.increment(place, by);
	}

	/** `lock *place += by` */
	atomicAdd(place: Place, by: Value): void {
		this.#memory.atomicAdd(place, by);
	}

	/** `if base + bytes > end goto otherwise`, once: nothing where a path has proven as much already */
	prove(base: Value, bytes: number, end: Value | Place, otherwise: Label): void {
		this.#memory.prove(base, bytes, end, otherwise);
	}

	/**
	 * The sum in 32 bits, carries added back as ones' complement has it (RFC 1071). `most`: the largest number
	 * that the sum can be, which says how often to fold. The old value is gone.
	 */
	fold(sum: Value, most: bigint): Value {
		return this.#checksum.fold(sum, most);
	}

	/**
	 * `*checksum += sum` in ones' complement, for a field that the packet's own sum is zero with: `sum` is what was
	 * there minus what is there now (the new words complemented, RFC 1624). The result is 0 only if both are 0, so
	 * that protocols in which 0 has a meaning of its own are right too.
	 */
	addToChecksum(
		checksum: Place,
		sum: Value,
		most = sum.width === 32 ? 0xffff_ffffn : 0xffff_ffff_ffffn,
	): void {
		this.#checksum.add(checksum, sum, most);
	}

	/**
	 * Changes nothing but what the verifier knows of the value: that it is one of a few numbers, by which it would
	 * follow each way on as a path of its own. `unknown`: any number that the verifier does not know.
	 */
	forget(value: Value, unknown: Value): void {
		this.#arithmetic.forget(value, unknown);
	}

	/** A structure on the stack, aligned to 8 bytes; not cleared. */
	stack<F extends Fields>(name: string, structure: Structure<F>): View<F> {
		return this.#stack.structure(name, structure);
	}

	/**
	 * `*slot = value`: the value has no register until {@link restore}, and needs none. Its slot on the stack is its own.
	 * What is proven of a packet pointer stays proven, until a call may move the packet.
	 */
	park(value: Value): void {
		this.#stack.park(value);
	}

	/** `value = *slot`: a parked value is back, in the register that it had if that is free. */
	restore(value: Value, placement?: Placement): void {
		this.#stack.restore(value, placement);
	}

	/** Declares a map, for the arguments of calls. The program's spec has it from here on. */
	map(spec: MapSpec): MapSpec {
		const other = this.#maps.get(spec.name);
		if (other !== undefined && other !== spec)
			throw this.#emitter.error(`two maps have the name ${spec.name}`);
		this.#maps.set(spec.name, spec);
		return spec;
	}

	/**
	 * `name = &map[0] + offset`: the memory of an array map (not per-CPU) without a call; bytes follow by index. `into`: in
	 * the register of this pointer instead of a new one.
	 */
	mapValue(map: MapSpec, offset = 0, placement: Placement | { readonly into: Value } = "scratch"): Value {
		return this.#mapMemory.value(this.map(map), offset, placement);
	}

	/**
	 * `name = &map[0] + offset + index * size of structure; if index is past the end goto otherwise`: the structure with
	 * that number in the memory of an array of one element, and the proof that the verifier asks for. `index` is as it was.
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
	 * Runs the program at `index` of a program array in place of this one, with the same context; goes on here when the
	 * array has none there, or after 33 such calls. Values in r0-r5 are lost.
	 */
	tailCall(programs: MapSpec, index: Operand, context: View<Fields>): void {
		this.map(programs);
		if (programs.type !== "BPF_MAP_TYPE_PROG_ARRAY")
			throw this.#emitter.error(`tail call: map ${programs.name} is a ${programs.type}, not a program array`);
		this.run("bpf_tail_call", [context, programs, index]);
	}

	/** `result = helper(arguments)` in r0. Values in r0-r5 are lost, and packet pointers if the packet may move. */
	call(helper: HelperName, args: readonly Argument[], result: string = helper): Value {
		return this.#call.call(helper, args, result);
	}

	/**
	 * `result = function(arguments)` in r0: a function of the kernel itself, found by `lookUpKernelTypes`. The result is a
	 * pointer; values in r0-r5 are lost. Needs the JIT compiler.
	 */
	callKernelFunction(called: KernelFunction, args: readonly Argument[], result: string = called.name): Value {
		return this.#call.callKernelFunction(called, args, result);
	}

	/** `name = base->field`, of a structure of the kernel, at the place that `lookUpKernelTypes` gives */
	loadKernelField(base: Value, field: KernelField, name: string): Value {
		return this.#memory.loadKernelField(base, field, name);
	}

	/** `helper(arguments)`, whose result nobody looks at. Values in r0-r5 are lost, as by `call`. */
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

	/** A place to go to, before or after it is placed. Its name gets a number where it is taken. */
	label(name: string): Label {
		return this.#emitter.label(name);
	}

	/** `label:` */
	place(label: Label): void {
		this.#emitter.place(label);
	}

	/** `label:`, where nothing that was in a register is needed any more: so any path can go there, from asides too */
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

	/** `if (*place & mask) != (bytes & mask) goto label`, for what is longer than a register */
	gotoUnlessBytes(
		place: Place,
		bytes: Uint8Array,
		label: Label,
		mask = new Uint8Array(bytes.length).fill(255),
	): void {
		this.#branch.gotoUnlessBytes(place, bytes, mask, label);
	}

	/** `if value is one of members goto label`: one step for any number of members, 0-63, as is the value */
	gotoIfMember(value: Value, members: Iterable<number>, label: Label): void {
		this.#branch.gotoIfMember(value, setOf(members), label);
	}

	/** `if value is not one of members goto label`: one step for any number of members, 0-63, as is the value */
	gotoUnlessMember(value: Value, members: Iterable<number>, label: Label): void {
		this.#branch.gotoUnlessMember(value, setOf(members), label);
	}

	/** `goto labels[value]`, for a value that is one of these numbers; by halving, where neighbours share a label as one */
	gotoOneOf(value: Value, labels: ReadonlyMap<number, Label>): void {
		this.#branch.select(value, labels);
	}

	/**
	 * `if (left comparison right) { body }`, with the body behind the program, so that the common way is the straight
	 * one. What it comes back with must be what was known here: a value that its calls lose, it has to load again.
	 */
	unlikely(left: Value | Place, comparison: Comparison, right: Operand, body: () => void): void {
		this.#branch.unlikely(left, comparison, right, body);
	}

	/** `if base + bytes > end { body }`, with the body behind the program; it has to prove as much, or to go elsewhere. */
	unlessProven(base: Value, bytes: number, end: Value | Place, body: () => void): void {
		const short = this.label(`${base.name} short`);
		this.prove(base, bytes, end, short);
		this.#branch.aside(short, this.label("long enough"), body);
	}

	/**
	 * `name: { body }`: `again` is the label to go back to. At its head a loop has what a call leaves, the stack and
	 * r6-r9: whatever else was in a register is lost.
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

	/** `switch (subject) { case … default: otherwise }`, without falling through; a binary search of immediates */
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
			// The path ends here: whatever was in r0 is not needed any more.
			const occupant = flow.occupant(0);
			if (occupant !== undefined) flow.release(occupant);
			this.u64("result", 0).set(result);
		}
		this.#emitter.exit();
	}

	/** The program as data. Throws BpfError (BUILD) for a path without end or a label never placed. */
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

/** Numbers as the bits of a u64. */
function setOf(members: Iterable<number>): bigint {
	let set = 0n;
	for (const member of members) set |= 1n << BigInt(member);
	return set;
}

function pointer(name: string): ValueType {
	return { name, width: 64, bytes: 8, order: "none", kind: "pointer" };
}
