/** Why a change of a host failed, as text. */
import { L3dsrError, withNotes } from "../errors.ts";
import { type Failure, ReconcileError, type Undoing } from "../reconcile/failure.ts";
import { refusalOf } from "../rewrite/reason.ts";
import { describeStep } from "./describe-step.ts";

/** Runs work that reconciles, and adds to its errors what was undone. */
export async function explaining<T>(work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (error) {
		if (!(error instanceof ReconcileError)) throw error;
		const { failure, undoing } = error;
		throw withNotes(reasonOf(failure), undoing === undefined ? [] : undoingNotes(undoing), error);
	}
}

function reasonOf(failure: Failure): unknown {
	switch (failure.kind) {
		case "refused":
			return refusalOf(failure.rule);
		case "unreached":
			return new L3dsrError({
				code: "DATAPATH_VERIFY",
				message: "verify the host after the change: it differs from the plan",
				notes: failure.left.flatMap((step) => describeStep(step)).map((line) => `still to do: ${line}`),
				hint: "something else may be changing this host at the same time; run the command again",
			});
		case "failed":
			return failure.error;
	}
}

function undoingNotes({ steps, error }: Undoing): string[] {
	const undone = steps.flatMap((step) => describeStep(step)).map((line) => `undone: ${line}`);
	if (error !== undefined) {
		return [...undone, `undoing it failed too: ${error instanceof Error ? error.message : String(error)}`];
	}
	return undone.length === 0 ? ["nothing had been changed"] : undone;
}
