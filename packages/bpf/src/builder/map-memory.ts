/** The memory of array maps, which programs address without a call. */
import { loadMapValue } from "../asm/memory.ts";
import type { MapSpec } from "../spec.ts";
import type { Arithmetic } from "./arithmetic.ts";
import type { Branch } from "./branch.ts";
import type { Emitter, Label } from "./emitter.ts";
import type { Placement, Value, ValueType } from "./value.ts";
import { type Fields, type Structure, type View, view } from "./view.ts";

export interface ElementOptions {
	/** Bytes before the first element; default 0. */
	readonly offset?: number;
	/** The pointer's name; default: the structure's name. */
	readonly name?: string;
	readonly in?: Placement;
	/** Use the register of this pointer instead of a new one. */
	readonly into?: Value;
}

export class MapMemory {
	readonly #emitter: Emitter;
	readonly #arithmetic: Arithmetic;
	readonly #branch: Branch;

	constructor(emitter: Emitter, arithmetic: Arithmetic, branch: Branch) {
		this.#emitter = emitter;
		this.#arithmetic = arithmetic;
		this.#branch = branch;
	}

	/** `name = &map[0] + offset` */
	value(map: MapSpec, offset: number, placement: Placement | { readonly into: Value }): Value {
		const emitter = this.#emitter;
		if (map.type !== "BPF_MAP_TYPE_ARRAY" || map.maxEntries !== 1) {
			throw emitter.error(
				`take the address of map ${map.name}: it is a ${map.type} of ${map.maxEntries} elements, and only an array of one has an address`,
				"lookup() an element, or declare one element that holds all of them",
			);
		}
		if (offset < 0 || offset >= map.valueSize) {
			throw emitter.error(
				`take the address of byte ${offset} of map ${map.name}: its value has ${map.valueSize} bytes`,
			);
		}
		const into = typeof placement === "object" ? placement.into : undefined;
		if (into !== undefined) emitter.flow?.revive(into);
		const type: ValueType = { name: map.name, width: 64, bytes: 8, order: "none", kind: "pointer" };
		const value =
			into ?? this.#arithmetic.allocate(type, typeof placement === "object" ? "scratch" : placement);
		emitter.emit(loadMapValue(emitter.write(value), map.name, offset), `${map.name} + ${offset}`);
		emitter.flow?.assign(value);
		return value;
	}

	/** `name = &map[0] + offset + index * size of structure; if index is past the end goto otherwise` */
	element<F extends Fields>(
		map: MapSpec,
		index: Value,
		structure: Structure<F>,
		otherwise: Label,
		options: ElementOptions,
	): View<F> {
		const { offset = 0, name = structure.name, in: placement = "scratch", into } = options;
		const count = Math.floor((map.valueSize - offset) / structure.bytes);
		if (count < 1) {
			throw this.#emitter.error(
				`find a ${structure.name} in map ${map.name}: there is no room for ${structure.bytes} bytes at ${offset} of ${map.valueSize}`,
			);
		}
		this.#branch.gotoIf(index, ">=", count, otherwise);
		const base = this.value(map, offset, into === undefined ? placement : { into });
		const type: ValueType = { name: `${name} offset`, width: 64, bytes: 8, order: "none", kind: "scalar" };
		using distance = this.#arithmetic.allocate(type, "scratch").set(index);
		const shift = Math.log2(structure.bytes);
		if (Number.isInteger(shift)) distance.lsh(shift);
		else distance.mul(structure.bytes);
		base.add(distance);
		return view(base, structure, 0, name);
	}
}
