/** Calls of helper functions: moves operands to r1-r5 with no needless move. */
import { add, mov } from "../asm/alu.ts";
import { HELPER_FUNCTIONS, type HelperFunction, type HelperName } from "../asm/helper-function.ts";
import type { Register } from "../asm/instruction.ts";
import { call, callKernelFunction } from "../asm/jump.ts";
import { loadImm64, loadMap } from "../asm/memory.ts";
import type { MapSpec } from "../spec.ts";
import { type Arithmetic, describe } from "./arithmetic.ts";
import { asImmediate, constantBits } from "./constant.ts";
import type { Emitter } from "./emitter.ts";
import { type Operand, Value } from "./value.ts";
import { ADDRESS, type Address, type Fields, isPlace, type Place, type View } from "./view.ts";

/** An argument: a value, a number or a map; a view or a place passes its address. */
export type Argument = Operand | MapSpec | View<Fields> | Place;

/** Helpers whose second argument is a key, and whose third, if any, is a value. */
const ELEMENT_HELPERS: ReadonlySet<HelperName> = new Set([
	"bpf_map_lookup_elem",
	"bpf_map_update_elem",
	"bpf_map_delete_elem",
	"bpf_map_lookup_percpu_elem",
]);

/** A kernel function that programs may call (kfunc), by the id that `lookUpKernelTypes` returns. */
export interface KernelFunction {
	readonly name: string;
	readonly id: number;
}

const ARGUMENT_REGISTERS: readonly Register[] = [1, 2, 3, 4, 5];

interface Move {
	readonly to: Register;
	readonly from: Register;
	readonly note: string;
}

export class Call {
	readonly #emitter: Emitter;
	readonly #arithmetic: Arithmetic;

	constructor(emitter: Emitter, arithmetic: Arithmetic) {
		this.#emitter = emitter;
		this.#arithmetic = arithmetic;
	}

	call(name: HelperName, args: readonly Argument[], result: string): Value {
		const emitter = this.#emitter;
		const helper: HelperFunction = HELPER_FUNCTIONS[name];
		const readsElement = this.#checkElement(name, args);
		if (args.length !== helper.args) {
			throw emitter.error(`${name} takes ${helper.args} arguments, ${args.length} are given`);
		}
		this.#place(args);
		emitter.emit(call(helper.id), `${result} = ${name}(${args.map(describeArgument).join(", ")})`);
		emitter.flow?.afterCall(name, helper.movesPacket === true);
		// The helper may write to any other argument that is an address.
		if (!readsElement) for (const argument of args) this.#noteWritten(argument);
		return this.#result(result, helper.result);
	}

	/** A call of a kernel function. */
	callKernelFunction({ name, id }: KernelFunction, args: readonly Argument[], result: string): Value {
		const emitter = this.#emitter;
		this.#place(args);
		emitter.emit(callKernelFunction(id), `${result} = ${name}(${args.map(describeArgument).join(", ")})`);
		emitter.flow?.afterCall(name, false);
		for (const argument of args) this.#noteWritten(argument);
		return this.#result(result, "pointer");
	}

	#result(name: string, kind: HelperFunction["result"]): Value {
		const type = { name, width: 64, bytes: 8, order: "none", kind: "scalar" } as const;
		switch (kind) {
			case "none":
				return new Value(this.#arithmetic, type);
			case "pointer":
				return this.#arithmetic.adopt({ ...type, kind }, 0);
			case "error":
				return this.#arithmetic.adopt({ ...type, isSigned: true }, 0);
			default:
				return this.#arithmetic.adopt(type, 0);
		}
	}

	/**
	 * Requires that the key and value have the map's sizes and have been written. Returns whether the helper
	 * takes them.
	 */
	#checkElement(name: HelperName, args: readonly Argument[]): boolean {
		if (!ELEMENT_HELPERS.has(name)) return false;
		const [map, key, value] = args;
		if (map === undefined || !isMap(map)) return true;
		this.#checkMemory(map, "key", map.keySize, key);
		if (name === "bpf_map_update_elem") this.#checkMemory(map, "value", map.valueSize, value);
		return true;
	}

	#checkMemory(map: MapSpec, what: "key" | "value", size: number, argument: Argument | undefined): void {
		const memory = argument === undefined ? undefined : memoryOf(argument);
		if (memory === undefined) return;
		const { name, base, offset, bytes } = memory;
		if (bytes !== size) {
			throw this.#emitter.error(
				`${name} has ${bytes} bytes, a ${what} of map ${map.name} has ${size}`,
				bytes > size ? "pass a part() of that size" : "declare its padding as well, and clear() it",
			);
		}
		if (base.kind === "stack" && this.#emitter.flow?.isWritten(offset, bytes) === false) {
			throw this.#emitter.error(
				`${name}, a ${what} of map ${map.name}, is not completely written on every path here`,
				"store every field, or clear() it first: padding counts",
			);
		}
	}

	#noteWritten(argument: Argument): void {
		const memory = memoryOf(argument);
		if (memory?.base.kind === "stack") this.#emitter.flow?.write(memory.offset, memory.bytes);
	}

	/** First the arguments in registers, as one parallel move; then constants and addresses. */
	#place(args: readonly Argument[]): void {
		const moves: Move[] = [];
		const rest: (() => void)[] = [];
		args.forEach((argument, index) => {
			const to = ARGUMENT_REGISTERS[index];
			if (to === undefined) return;
			const note = `argument ${index + 1}: ${describeArgument(argument)}`;
			if (argument instanceof Value) {
				moves.push({ to, from: this.#emitter.read(argument), note });
			} else if (typeof argument === "number" || typeof argument === "bigint") {
				rest.push(() => this.#constant(to, argument, note));
			} else if (isView(argument) || isPlace(argument)) {
				const { base, offset } = isPlace(argument) ? argument : argument[ADDRESS];
				moves.push({ to, from: this.#emitter.read(base), note });
				if (offset !== 0) rest.push(() => this.#emitter.emit(add.imm(to, offset)));
			} else {
				rest.push(() => this.#emitter.emit(loadMap(to, argument.name), note));
			}
		});
		this.#parallel(moves.filter(({ to, from }) => to !== from));
		for (const emit of rest) emit();
	}

	/** Emits moves so that none overwrites a register that another still reads; a cycle goes through r0. */
	#parallel(pending: readonly Move[]): void {
		let open = pending;
		while (open.length > 0) {
			const next = open.find(({ to }) => !open.some((other) => other.from === to));
			const stuck = open[0];
			if (next !== undefined) {
				this.#emitter.emit(mov.reg(next.to, next.from), next.note);
				open = open.filter((move) => move !== next);
			} else if (stuck !== undefined) {
				const { from } = stuck;
				this.#emitter.emit(mov.reg(0, from), `aside: ${stuck.note}`);
				open = open.map((move) => (move.from === from ? { ...move, from: 0 } : move));
			}
		}
	}

	#constant(to: Register, number: number | bigint, note: string): void {
		const pattern = constantBits({ bytes: 8, order: "host" }, number);
		if (pattern === undefined) throw this.#emitter.error(`${number} does not fit a register`);
		const immediate = asImmediate(pattern, 64);
		if (immediate !== undefined) this.#emitter.emit(mov.imm(to, immediate), note);
		else if (pattern <= 0xffff_ffffn)
			this.#emitter.emit(mov.imm32(to, Number(BigInt.asIntN(32, pattern))), note);
		else this.#emitter.emit(loadImm64(to, pattern), note);
	}
}

/** The memory to which an argument points. */
function memoryOf(argument: Argument): Address | undefined {
	if (argument instanceof Value || typeof argument === "number" || typeof argument === "bigint")
		return undefined;
	if (isPlace(argument)) {
		const { name, base, offset, field } = argument;
		return { name, base, offset, bytes: field.bytes };
	}
	return isView(argument) ? argument[ADDRESS] : undefined;
}

function isMap(argument: Argument): argument is MapSpec {
	return typeof argument === "object" && "keySize" in argument;
}

function isView(argument: MapSpec | View<Fields> | Place): argument is View<Fields> {
	return ADDRESS in argument;
}

function describeArgument(argument: Argument): string {
	if (argument instanceof Value || typeof argument === "number" || typeof argument === "bigint")
		return describe(argument);
	return isView(argument) ? argument[ADDRESS].name : argument.name;
}
