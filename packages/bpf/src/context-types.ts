/**
 * The BTF type of a program's argument, which the kernel requires of a program that another one traces
 * (kernel/bpf/verifier.c, bpf_check_attach_target; btf.c, btf_ctx_access).
 */
import { BtfBuilder, FUNC_INFO } from "./btf.ts";
import { BpfError } from "./error.ts";
import type { ProgramTypeName } from "./spec.ts";

/** The kernel's names of its own context types. */
const CONTEXT: { readonly [type in ProgramTypeName]?: string } = {
	BPF_PROG_TYPE_SCHED_CLS: "__sk_buff",
	BPF_PROG_TYPE_XDP: "xdp_md",
};

export interface ContextTypes {
	readonly types: Uint8Array;
	readonly functionInfo: Uint8Array;
	/** Id of the program's function, which a tracing program refers to. */
	readonly functionId: number;
}

/** Throws BpfError (BUILD) for a type of program that cannot be traced here. */
export function encodeContextTypes(type: ProgramTypeName): ContextTypes {
	const name = CONTEXT[type];
	if (name === undefined) throw new BpfError("BUILD", `make a program traceable: not of type ${type}`);
	const btf = new BtfBuilder();
	const verdict = btf.int("int", 4, true);
	const context = btf.pointer(btf.structure(name, 4));
	const functionId = btf.func("program", verdict, [{ name: "ctx", type: context }]);
	const functionInfo = FUNC_INFO.encode({ insn_off: 0, type_id: functionId });
	return { types: btf.encode(), functionInfo, functionId };
}

/** Id of the program's function: the same for every type of program. */
export function functionId(): number {
	return encodeContextTypes("BPF_PROG_TYPE_XDP").functionId;
}
