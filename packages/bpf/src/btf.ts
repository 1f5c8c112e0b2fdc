/** BTF, the kernel's format of types (include/uapi/linux/btf.h), as far as programs of ours bring types with them. */
import { Layout } from "@l3dsr/linux";

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
/** What follows a type of these kinds: for each member of a structure, for each parameter of a prototype, once. */
const BTF_MEMBER = new Layout({ name_off: "u32", type: "u32", offset: "u32" });
const BTF_PARAMETER = new Layout({ name_off: "u32", type: "u32" });
const BTF_INT = new Layout({ encoding: "u32" });
const BTF_MAGIC = 0xeb9f;
const KIND = { INT: 1, PTR: 2, STRUCT: 4, FUNC: 12, FUNC_PROTO: 13 } as const;
const KIND_SHIFT = 24;
const BTF_INT_SIGNED = 1 << 24;

/** struct bpf_func_info: which type a function of the program has, by the slot where it begins. */
export const FUNC_INFO = new Layout({ insn_off: "u32", type_id: "u32" });

/** Types that the kernel has taken, for a program of one function. */
export interface LoadedTypes {
	readonly fd: number;
	readonly functionInfo: Uint8Array;
}

/** What BPF_PROG_LOAD takes of them. */
export function typeAttributes({ fd, functionInfo }: LoadedTypes): {
	readonly prog_btf_fd: number;
	readonly func_info: Uint8Array;
	readonly func_info_cnt: number;
	readonly func_info_rec_size: number;
} {
	return {
		prog_btf_fd: fd,
		func_info: functionInfo,
		func_info_cnt: 1,
		func_info_rec_size: functionInfo.length,
	};
}

/** A list of types. Each method adds one, and gives its id; types may refer to others by id, before or after them. */
export class BtfBuilder {
	readonly #types: Uint8Array[] = [];
	#strings = "\0";
	#count = 0;

	int(name: string, bytes: number, isSigned: boolean): number {
		const encoding = (isSigned ? BTF_INT_SIGNED : 0) | (8 * bytes);
		return this.#add(name, KIND.INT, 0, bytes, BTF_INT.encode({ encoding }));
	}

	pointer(to: number): number {
		return this.#add("", KIND.PTR, 0, to);
	}

	/** Members at offset 0: none, or one. */
	structure(name: string, bytes: number, member?: { readonly name: string; readonly type: number }): number {
		if (member === undefined) return this.#add(name, KIND.STRUCT, 0, bytes);
		const { type } = member;
		const encoded = BTF_MEMBER.encode({ name_off: this.string(member.name), type, offset: 0 });
		return this.#add(name, KIND.STRUCT, 1, bytes, encoded);
	}

	/** A function of the program with its prototype: the function's id. */
	func(
		name: string,
		result: number,
		parameters: readonly { readonly name: string; readonly type: number }[],
	): number {
		const encoded = parameters.map((one) =>
			BTF_PARAMETER.encode({ name_off: this.string(one.name), type: one.type }),
		);
		const prototype = this.#add("", KIND.FUNC_PROTO, parameters.length, result, ...encoded);
		return this.#add(name, KIND.FUNC, 0, prototype);
	}

	/** Where a string begins among the strings. */
	string(text: string): number {
		if (text === "") return 0;
		const at = this.#strings.length;
		this.#strings += `${text}\0`;
		return at;
	}

	/** What BPF_BTF_LOAD takes. */
	encode(): Uint8Array {
		const types = Buffer.concat(this.#types);
		const strings = Buffer.from(this.#strings, "latin1");
		const header = BTF_HEADER.encode({
			magic: BTF_MAGIC,
			version: 1,
			hdr_len: BTF_HEADER.size,
			type_len: types.length,
			str_off: types.length,
			str_len: strings.length,
		});
		return Buffer.concat([header, types, strings]);
	}

	#add(
		name: string,
		kind: number,
		count: number,
		size_or_type: number,
		...behind: readonly Uint8Array[]
	): number {
		const info = (kind << KIND_SHIFT) | count;
		this.#types.push(BTF_TYPE.encode({ name_off: this.string(name), info, size_or_type }), ...behind);
		return ++this.#count;
	}
}
