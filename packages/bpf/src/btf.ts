/**
 * The subset of BTF, the kernel's type format (include/uapi/linux/btf.h), that our programs use for their own
 * types.
 */
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
/**
 * Data that follows a type of these kinds, once for each member of a structure or parameter of a prototype.
 */
const BTF_MEMBER = new Layout({ name_off: "u32", type: "u32", offset: "u32" });
const BTF_PARAMETER = new Layout({ name_off: "u32", type: "u32" });
const BTF_INT = new Layout({ encoding: "u32" });
const BTF_MAGIC = 0xeb9f;
const KIND = { INT: 1, PTR: 2, STRUCT: 4, FUNC: 12, FUNC_PROTO: 13 } as const;
const KIND_SHIFT = 24;
const BTF_INT_SIGNED = 1 << 24;

/** struct bpf_func_info: the type of the function that begins at a slot. */
export const FUNC_INFO = new Layout({ insn_off: "u32", type_id: "u32" });

/** Types that the kernel has accepted, for a program with one function. */
export interface LoadedTypes {
	readonly fd: number;
	readonly functionInfo: Uint8Array;
}

/** The attributes of BPF_PROG_LOAD for these types. */
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

/** A list of types. Each method adds one and returns its id; types may refer to earlier and later ids. */
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

	/** Members are at offset 0: none, or one. */
	structure(name: string, bytes: number, member?: { readonly name: string; readonly type: number }): number {
		if (member === undefined) return this.#add(name, KIND.STRUCT, 0, bytes);
		const { type } = member;
		const encoded = BTF_MEMBER.encode({ name_off: this.string(member.name), type, offset: 0 });
		return this.#add(name, KIND.STRUCT, 1, bytes, encoded);
	}

	/** Adds a function of the program with its prototype; returns the function's id. */
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

	/** The offset of a string in the string section. */
	string(text: string): number {
		if (text === "") return 0;
		const at = this.#strings.length;
		this.#strings += `${text}\0`;
		return at;
	}

	/** The bytes for BPF_BTF_LOAD. */
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
