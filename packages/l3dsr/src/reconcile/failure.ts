/** Why a change of a host failed, as records: the text is made where it is printed. */
import type { Step } from "../plan/host-state.ts";
import type { AssignedRule } from "../rewrite/assign.ts";

export type Failure =
	/** A rule cannot run on its forced datapath. Nothing was changed. */
	| { readonly kind: "refused"; readonly rule: AssignedRule }
	/** All steps were applied, but these are still to do. */
	| { readonly kind: "unreached"; readonly left: readonly Step[] }
	/** A step, or reading the host, failed. */
	| { readonly kind: "failed"; readonly error: unknown };

/** What happened to the steps applied so far. */
export interface Undoing {
	/** Empty: nothing had been changed. */
	readonly steps: readonly Step[];
	/** Why not all of them could be undone. */
	readonly error?: unknown;
}

export class ReconcileError extends Error {
	readonly failure: Failure;
	readonly undoing: Undoing | undefined;

	constructor(failure: Failure, undoing?: Undoing) {
		super(`reconcile: ${failure.kind}`, failure.kind === "failed" ? { cause: failure.error } : {});
		this.name = "ReconcileError";
		this.failure = failure;
		this.undoing = undoing;
	}
}
