/** Something observed that is not as it should be. */
import type { Rule } from "./rule.ts";

export type FindingKind =
	| "address-missing"
	| "address-superfluous"
	| "rule-missing"
	| "rule-superfluous"
	| "rule-duplicate"
	| "rule-to-take-over"
	| "rule-to-hand-back"
	/** An object of a datapath that l3dsr did not make, or that was altered. */
	| "damage"
	/** Intact, but on another datapath or hook than it should be. */
	| "misplaced"
	/** Answers of a service with set-port leave from the server's port, which is not the port that its clients asked. */
	| "answers-missing"
	/** Answers are translated for a rule that is no longer in force. */
	| "answers-superfluous"
	| "guard"
	/** A program of the director is not attached. */
	| "director-missing"
	/** A program of the director, or what it directs. */
	| "director"
	/** The host's own addresses have changed. */
	| "network"
	/** Part of a service that this host can no longer have. */
	| "stopped";

export interface Finding {
	readonly kind: FindingKind;
	/** `192.0.2.1 on lo`, `a rule of web`, `table ip l3dsr, map raw_PREROUTING_1`. */
	readonly object: string;
	/** What is wrong with the object, worded to follow its name in a sentence: `is missing`. */
	readonly problem: string;
	/** Set if the finding is about a rule. */
	readonly rule?: Rule;
}

/** The problem of an intact object of ours that was made for other addresses of the host. */
export const MADE_FOR_OTHER_ADDRESSES = "was created when this host had other addresses";

export function sameFinding(a: Finding, b: Finding): boolean {
	return a.kind === b.kind && a.object === b.object && a.problem === b.problem;
}
