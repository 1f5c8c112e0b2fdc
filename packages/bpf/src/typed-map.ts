/** Maps with TypeScript values as keys and values, declared once for the program and for user space. */
import { type Codec, U32 } from "./codec.ts";
import { BpfMap, perCpuValues, type UpdateMode } from "./map.ts";
import { type MapSpec, type MapTypeName, programArraySpec } from "./spec.ts";

/** Map types with a value for each CPU. */
export type PerCpuMapType = Extract<MapTypeName, `${string}PERCPU${string}`>;

/**
 * A spec with the types of its keys and values. `Value` is what a lookup returns: for per-CPU maps, one value
 * for each CPU.
 */
export interface TypedMapSpec<KeyIn = never, Key = unknown, ValueIn = never, Value = unknown>
	extends MapSpec {
	readonly key: Codec<KeyIn, Key>;
	readonly value: Codec<ValueIn, unknown>;
	/** Decodes the whole value as user space sees it. */
	readonly decodeValue: (map: BpfMap, bytes: Uint8Array) => Value;
}

export interface MapDeclaration<T extends MapTypeName, KeyIn, Key, ValueIn, Value>
	extends Omit<MapSpec, "keySize" | "valueSize" | "type" | "contents"> {
	readonly type: T;
	readonly key: Codec<KeyIn, Key>;
	readonly value: Codec<ValueIn, Value>;
	/** The initial contents. */
	readonly contents?: readonly { readonly key: KeyIn; readonly value: ValueIn }[];
}

/** The spec of a map with these keys and values, for the builder, `Program.load` and {@link TypedMap}. */
export function mapSpec<T extends MapTypeName, KeyIn, Key, ValueIn, Value>(
	declared: MapDeclaration<T, KeyIn, Key, ValueIn, Value>,
): TypedMapSpec<KeyIn, Key, ValueIn, T extends PerCpuMapType ? readonly Value[] : Value> {
	const { key, value, contents, ...rest } = declared;
	const decodeValue = (map: BpfMap, bytes: Uint8Array): unknown =>
		rest.type.includes("PERCPU")
			? perCpuValues(map, bytes).map((part) => value.decode(part))
			: value.decode(bytes);
	return {
		...rest,
		...(contents === undefined
			? {}
			: { contents: contents.map((one) => ({ key: key.encode(one.key), value: value.encode(one.value) })) }),
		keySize: key.size,
		valueSize: value.size,
		key,
		value,
		// the type's name determines which of the two it is
		decodeValue: decodeValue as (
			map: BpfMap,
			bytes: Uint8Array,
		) => T extends PerCpuMapType ? readonly Value[] : Value,
	};
}

/** A map with typed keys and values. `using` closes the underlying map. */
export class TypedMap<KeyIn, Key, ValueIn, Value> implements Disposable {
	/** The same map as bytes, with its descriptor. */
	readonly map: BpfMap;
	readonly #spec: TypedMapSpec<KeyIn, Key, ValueIn, Value>;

	/** Throws RangeError if the sizes of the map's keys or values differ from the spec. */
	constructor(map: BpfMap, spec: TypedMapSpec<KeyIn, Key, ValueIn, Value>) {
		const { keySize, valueSize, name } = map.info;
		if (keySize !== spec.keySize || valueSize !== spec.valueSize) {
			throw new RangeError(
				`map ${name} has keys of ${keySize} bytes and values of ${valueSize}, not ${spec.keySize} and ${spec.valueSize}`,
			);
		}
		this.map = map;
		this.#spec = spec;
	}

	/** Throws SyscallError; then nothing is left behind. */
	static create<KeyIn, Key, ValueIn, Value>(
		spec: TypedMapSpec<KeyIn, Key, ValueIn, Value>,
	): TypedMap<KeyIn, Key, ValueIn, Value> {
		return new TypedMap(BpfMap.create(spec), spec);
	}

	/** Undefined if the map does not have the key. */
	lookup(key: KeyIn): Value | undefined {
		const bytes = this.map.lookup(this.#spec.key.encode(key));
		return bytes === undefined ? undefined : this.#spec.decodeValue(this.map, bytes);
	}

	/** In a per-CPU map, every CPU gets the same value. */
	update(key: KeyIn, value: ValueIn, mode: UpdateMode = "any"): void {
		this.map.update(this.#spec.key.encode(key), this.#spec.value.encode(value), mode);
	}

	/**
	 * Returns false if the key did not exist. Throws SyscallError (EINVAL) for arrays, whose elements cannot
	 * be removed.
	 */
	delete(key: KeyIn): boolean {
		return this.map.delete(this.#spec.key.encode(key));
	}

	/**
	 * All elements, in as few calls as the kernel allows. It may miss elements that are added or removed
	 * meanwhile.
	 */
	entries(): readonly { readonly key: Key; readonly value: Value }[] {
		return this.map.entries().map(({ key, value }) => ({
			key: this.#spec.key.decode(key),
			value: this.#spec.decodeValue(this.map, value),
		}));
	}

	/**
	 * Sets many elements, in one call if the kernel supports it. Not atomic: after a failure, the first ones
	 * are set.
	 */
	updateAll(elements: readonly { readonly key: KeyIn; readonly value: ValueIn }[]): void {
		this.map.updateAll(
			elements.map(({ key, value }) => ({
				key: this.#spec.key.encode(key),
				value: this.#spec.value.encode(value),
			})),
		);
	}

	/** Removes many keys, in one call if the kernel supports it; ignores missing keys. */
	deleteAll(keys: readonly KeyIn[]): void {
		this.map.deleteAll(keys.map((key) => this.#spec.key.encode(key)));
	}

	[Symbol.dispose](): void {
		this.map[Symbol.dispose]();
	}
}

/**
 * Programs by index, for `tailCall`. The kernel empties the array when the last process that has it open
 * ends, even while a program uses it (prog_array_map_clear), so its owner must live as long as the program.
 */
export class ProgramArray implements Disposable {
	readonly map: BpfMap;

	constructor(map: BpfMap) {
		this.map = map;
	}

	/** Throws SyscallError. */
	static create(name: string, maxEntries: number): ProgramArray {
		return new ProgramArray(BpfMap.create(programArraySpec(name, maxEntries)));
	}

	/**
	 * Puts a program of the array's type at `index` and replaces the one there. Throws SyscallError (EINVAL
	 * for another type).
	 */
	set(index: number, program: { readonly fd: number }): void {
		this.map.update(U32.encode(index), U32.encode(program.fd));
	}

	/** The id of the program at `index`. */
	get(index: number): number | undefined {
		const id = this.map.lookup(U32.encode(index));
		return id === undefined ? undefined : U32.decode(id);
	}

	/** Returns false if the slot was empty. */
	clear(index: number): boolean {
		return this.map.delete(U32.encode(index));
	}

	[Symbol.dispose](): void {
		this.map[Symbol.dispose]();
	}
}
