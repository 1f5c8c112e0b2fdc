/**
 * Finds out whether this process may use bpf(2), with the cheapest call of each kind. Leaves nothing behind.
 */
import { check, ERRNO, SyscallError } from "@l3dsr/linux";
import { exit, mov } from "./asm/index.ts";
import { bpf } from "./bpf-syscall.ts";
import { BpfMap } from "./map.ts";
import { Program } from "./program.ts";
import type { MapSpec, ProgramTypeName } from "./spec.ts";
import { VerifierError } from "./verifier-log.ts";

/** A refused use of bpf(2). */
export interface BpfRefusal {
	/** `create maps`, `load programs of type BPF_PROG_TYPE_XDP`, `find programs by their id`. */
	readonly doing: string;
	/** `EPERM (operation not permitted)`. */
	readonly reason: string;
}

const SMALLEST: MapSpec = {
	name: "probe",
	type: "BPF_MAP_TYPE_ARRAY",
	keySize: 4,
	valueSize: 8,
	maxEntries: 1,
};

/**
 * The first refused operation among those that programs of these types and their maps need: creating, loading
 * and finding them. Undefined if all are allowed. Missing capabilities, a seccomp filter, a security module
 * or a kernel without bpf(2) cause a refusal.
 */
export function probeBpfAccess(types: readonly ProgramTypeName[]): BpfRefusal | undefined {
	const uses: readonly (readonly [doing: string, attempt: () => void])[] = [
		["create maps", () => BpfMap.create(SMALLEST)[Symbol.dispose]()],
		...types.map((type) => [`load programs of type ${type}`, () => loadSmallest(type)] as const),
		["find programs by their id", findNone],
	];
	for (const [doing, attempt] of uses) {
		const reason = reasonOf(attempt);
		if (reason !== undefined) return { doing, reason };
	}
	return undefined;
}

function loadSmallest(type: ProgramTypeName): void {
	const instructions = [mov.imm(0, 0), exit()];
	Program.load({ name: "probe", type, license: "GPL", maps: [], instructions })[Symbol.dispose]();
}

/** No program has the id 0: a process that may ask gets ENOENT, any other gets EPERM. */
function findNone(): void {
	const { result } = bpf("BPF_PROG_GET_FD_BY_ID", { id: 0 });
	if (result !== -ERRNO.ENOENT) check(result, "open program 0");
}

function reasonOf(attempt: () => void): string | undefined {
	try {
		attempt();
		return undefined;
	} catch (error) {
		if (error instanceof SyscallError) return error.reason;
		// The program is valid, so something other than the verifier refused it.
		if (error instanceof VerifierError) return error.message;
		throw error;
	}
}
