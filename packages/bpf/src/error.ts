/** What the functions of this package throw, beside the errors of `@l3dsr/linux` for system calls. */

/**
 * - `BUILD`: a program or map whose description is not sound, found before the kernel saw it.
 * - `VERIFIER`: the kernel's verifier refused a program ({@link VerifierError}).
 * - `FEATURE`: the running kernel, or a driver, lacks what was asked for.
 * - `HELD`: a program belongs to a link of another process, and only that one can change it.
 */
export type BpfErrorCode = "BUILD" | "VERIFIER" | "FEATURE" | "HELD";

export interface BpfErrorOptions extends ErrorOptions {
	/** What to do next. */
	readonly hint?: string | undefined;
	/** Further lines about the failure. */
	readonly notes?: readonly string[];
}

/** The message says what was done, to which object, and why it failed. */
export class BpfError extends Error {
	override readonly name: string = "BpfError";
	readonly code: BpfErrorCode;
	readonly hint?: string;
	readonly notes: readonly string[];

	constructor(code: BpfErrorCode, message: string, options: BpfErrorOptions = {}) {
		super(message, options);
		this.code = code;
		this.notes = options.notes ?? [];
		if (options.hint !== undefined) this.hint = options.hint;
	}
}
