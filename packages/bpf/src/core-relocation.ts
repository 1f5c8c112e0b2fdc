/**
 * CO-RE relocations of fields, and the types that they are about, as the kernel takes them with a program
 * (include/uapi/linux/btf.h, struct bpf_core_relo in bpf.h; kernel/bpf/verifier.c, tools/lib/bpf/relo_core.c).
 *
 * A relocation names a structure and a field of ours by name; the kernel looks for those of its own and puts the answer
 * in the place of what is true of ours.
 */
import { Layout } from "@l3dsr/linux";

/** Ours: a number of 32 bits, alone in its structure. The kernel takes any integer for it. */
export const LOCAL_FIELD = { bytes: 4, registerBits: 64 } as const;

/** enum bpf_core_relo_kind, with what each is for {@link LOCAL_FIELD}: the immediate that the kernel replaces. */
export const FIELD_PROPERTIES = [
	/** BPF_CORE_FIELD_EXISTS */
	{ kind: 2, local: 1 },
	/** BPF_CORE_FIELD_BYTE_OFFSET */
	{ kind: 0, local: 0 },
	/** BPF_CORE_FIELD_BYTE_SIZE */
	{ kind: 1, local: LOCAL_FIELD.bytes },
	/** BPF_CORE_FIELD_LSHIFT_U64, BPF_CORE_FIELD_RSHIFT_U64: by these two shifts, a load of it is the number. */
	{ kind: 4, local: LOCAL_FIELD.registerBits - 8 * LOCAL_FIELD.bytes },
	{ kind: 5, local: LOCAL_FIELD.registerBits - 8 * LOCAL_FIELD.bytes },
	/** BPF_CORE_FIELD_SIGNED */
	{ kind: 3, local: 0 },
] as const;

export interface CoreRelocation {
	/** Slot of the instruction whose immediate it is for. */
	readonly instruction: number;
	/** Index of the field that was asked for. */
	readonly field: number;
	readonly kind: number;
}

const BTF_HEADER = new Layout({
	magic: "u16",
	version: "u8",
	flags: "u8",
	hdr_len: "u32",
	type_off: "u32",
	type_len: "u32",
	str_off: "u32",
	str_len: "u32",
});
const BTF_TYPE = new Layout({ name_off: "u32", info: "u32", size_or_type: "u32" });
const BTF_MEMBER = new Layout({ name_off: "u32", type: "u32", offset: "u32" });
const BTF_INT = new Layout({ encoding: "u32" });
const FUNC_INFO = new Layout({ insn_off: "u32", type_id: "u32" });
const CORE_RELOCATION = new Layout({
	insn_off: "u32",
	type_id: "u32",
	access_str_off: "u32",
	kind: "u32",
});
const BTF_MAGIC = 0xeb9f;
const KIND = { INT: 1, STRUCT: 4, FUNC: 12, FUNC_PROTO: 13 } as const;
const KIND_SHIFT = 24;
const SLOT_BYTES = 8;
/** Ids of the types that every program here has; the structures follow. */
const TYPE_ID = { number: 1, prototype: 2, program: 3, structures: 4 } as const;
/** The way to the one member of the structure. */
const FIRST_MEMBER = "0:0";

/** What BPF_BTF_LOAD takes, and what BPF_PROG_LOAD then takes with it. */
export interface EncodedTypes {
	readonly types: Uint8Array;
	readonly functionInfo: Uint8Array;
	readonly relocations: Uint8Array;
	readonly relocationCount: number;
}

export function encodeTypes(
	fields: readonly { readonly structure: string; readonly field: string }[],
	relocations: readonly CoreRelocation[],
): EncodedTypes {
	const strings = new Strings();
	const type = (name: string, kind: number, members: number, size_or_type: number) =>
		BTF_TYPE.encode({ name_off: strings.add(name), info: (kind << KIND_SHIFT) | members, size_or_type });
	const types = Buffer.concat([
		type("unsigned int", KIND.INT, 0, LOCAL_FIELD.bytes),
		BTF_INT.encode({ encoding: 8 * LOCAL_FIELD.bytes }),
		type("", KIND.FUNC_PROTO, 0, TYPE_ID.number),
		type("program", KIND.FUNC, 0, TYPE_ID.prototype),
		...fields.flatMap(({ structure, field }) => [
			type(structure, KIND.STRUCT, 1, LOCAL_FIELD.bytes),
			BTF_MEMBER.encode({ name_off: strings.add(field), type: TYPE_ID.number, offset: 0 }),
		]),
	]);
	const access = strings.add(FIRST_MEMBER);
	const header = BTF_HEADER.encode({
		magic: BTF_MAGIC,
		version: 1,
		hdr_len: BTF_HEADER.size,
		type_len: types.length,
		str_off: types.length,
		str_len: strings.bytes.length,
	});
	return {
		types: Buffer.concat([header, types, strings.bytes]),
		functionInfo: FUNC_INFO.encode({ insn_off: 0, type_id: TYPE_ID.program }),
		relocations: Buffer.concat(
			relocations.map(({ instruction, field, kind }) =>
				CORE_RELOCATION.encode({
					insn_off: instruction * SLOT_BYTES,
					type_id: TYPE_ID.structures + field,
					access_str_off: access,
					kind,
				}),
			),
		),
		relocationCount: relocations.length,
	};
}

/** The strings of a BTF blob: each ends with a zero, and the first is empty. */
class Strings {
	#text = "\0";

	/** Where it begins. */
	add(name: string): number {
		if (name === "") return 0;
		const at = this.#text.length;
		this.#text += `${name}\0`;
		return at;
	}

	get bytes(): Uint8Array {
		return Buffer.from(this.#text, "latin1");
	}
}
