/** Why a host could not be made what it should be, as records: the text is made where it is printed. */
import type { Step } from "../plan/host-state.ts";
import type { AssignedRule } from "../rewrite/assign.ts";

export type Failure =
	/** A rule cannot run on the datapath that it is forced to. Nothing was changed. */
	| { readonly kind: "refused"; readonly rule: AssignedRule }
	/** Every step was taken, and these are still to do. */
	| { readonly kind: "unreached"; readonly left: readonly Step[] }
	/** A step, or a look at the host, failed. */
	| { readonly kind: "failed"; readonly error: unknown };

/** What became of the steps that had been made by then. */
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
