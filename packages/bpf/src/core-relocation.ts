/**
 * CO-RE relocations of fields and their local types, in the form in which the kernel takes them with a
 * program (include/uapi/linux/btf.h, struct bpf_core_relo in bpf.h; kernel/bpf/verifier.c,
 * tools/lib/bpf/relo_core.c).
 *
 * A relocation names a local structure and field. The kernel looks up its own structure and field of these
 * names, and replaces the immediate for the local one by its own.
 */
import { Layout } from "@l3dsr/linux";
import { BtfBuilder, FUNC_INFO } from "./btf.ts";

/** The local field: a 32-bit number, alone in its structure. The kernel accepts any integer for it. */
export const LOCAL_FIELD = { bytes: 4, registerBits: 64 } as const;

/**
 * enum bpf_core_relo_kind, each with its value for {@link LOCAL_FIELD}: the immediate that the kernel
 * replaces.
 */
export const FIELD_PROPERTIES = [
	/** BPF_CORE_FIELD_EXISTS */
	{ kind: 2, local: 1 },
	/** BPF_CORE_FIELD_BYTE_OFFSET */
	{ kind: 0, local: 0 },
	/** BPF_CORE_FIELD_BYTE_SIZE */
	{ kind: 1, local: LOCAL_FIELD.bytes },
	/**
	 * BPF_CORE_FIELD_LSHIFT_U64, BPF_CORE_FIELD_RSHIFT_U64: these two shifts extract the number after the
	 * load.
	 */
	{ kind: 4, local: LOCAL_FIELD.registerBits - 8 * LOCAL_FIELD.bytes },
	{ kind: 5, local: LOCAL_FIELD.registerBits - 8 * LOCAL_FIELD.bytes },
	/** BPF_CORE_FIELD_SIGNED */
	{ kind: 3, local: 0 },
] as const;

export interface CoreRelocation {
	/** Slot of the instruction with the immediate. */
	readonly instruction: number;
	/** Index of the requested field. */
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
/** The access string of the structure's only member. */
const FIRST_MEMBER = "0:0";

/** The bytes for BPF_BTF_LOAD, and the relocations for BPF_PROG_LOAD. */
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
