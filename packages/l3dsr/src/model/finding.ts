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
	/** An object of a datapath that is not as l3dsr made it, or that l3dsr did not make. */
	| "damage"
	/** It is whole, and runs on a different datapath or hook than the one it belongs on. */
	| "misplaced"
	/** Answers of a service with set-port leave from the server's port, which its clients have not asked. */
	| "answers-missing"
	/** Answers are translated for a rule that is not in force any more. */
	| "answers-superfluous"
	| "guard"
	/** A program of the director, or what it directs. */
	| "director"
	/** The host's own addresses have changed. */
	| "network"
	/** Left of a service that this host cannot have any more. */
	| "stopped";

export interface Finding {
	readonly kind: FindingKind;
	/** `192.0.2.1 on lo`, `a rule of web`, `table ip l3dsr, map raw_PREROUTING_1`. */
	readonly object: string;
	/** What is wrong with the object, as the end of a sentence that begins with it: `is missing`. */
	readonly problem: string;
	/** Where it is about a rule. */
	readonly rule?: Rule;
}

/** A problem of what is ours, whole, and made for another set of the host's own addresses. */
export const MADE_FOR_OTHER_ADDRESSES = "was created when this host had other addresses";

export function sameFinding(a: Finding, b: Finding): boolean {
	return a.kind === b.kind && a.object === b.object && a.problem === b.problem;
}
