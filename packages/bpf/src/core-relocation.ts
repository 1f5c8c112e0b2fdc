/**
 * CO-RE relocations of fields, and the types that they are about, as the kernel takes them with a program
 * (include/uapi/linux/btf.h, struct bpf_core_relo in bpf.h; kernel/bpf/verifier.c, tools/lib/bpf/relo_core.c).
 *
 * A relocation names a structure and a field of ours by name; the kernel looks for those of its own and puts the answer
 * in the place of what is true of ours.
 */
import { Layout } from "@l3dsr/linux";
import { BtfBuilder, FUNC_INFO } from "./btf.ts";

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

const CORE_RELOCATION = new Layout({
	insn_off: "u32",
	type_id: "u32",
	access_str_off: "u32",
	kind: "u32",
});
const SLOT_BYTES = 8;
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
	const btf = new BtfBuilder();
	const number = btf.int("unsigned int", LOCAL_FIELD.bytes, false);
	const program = btf.func("program", number, []);
	const structures = fields.map(({ structure, field }) =>
		btf.structure(structure, LOCAL_FIELD.bytes, { name: field, type: number }),
	);
	const access = btf.string(FIRST_MEMBER);
	return {
		types: btf.encode(),
		functionInfo: FUNC_INFO.encode({ insn_off: 0, type_id: program }),
		relocations: Buffer.concat(
			relocations.map(({ instruction, field, kind }) =>
				CORE_RELOCATION.encode({
					insn_off: instruction * SLOT_BYTES,
					type_id: structures[field] ?? 0,
					access_str_off: access,
					kind,
				}),
			),
		),
		relocationCount: relocations.length,
	};
}
