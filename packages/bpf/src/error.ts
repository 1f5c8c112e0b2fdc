/**
 * The error that the functions of this package throw, besides the errors of `@l3dsr/linux` for system calls.
 */

/**
 * - `BUILD`: the description of a program or map is wrong; the kernel has not seen it.
 * - `VERIFIER`: the kernel's verifier refused a program ({@link VerifierError}).
 * - `FEATURE`: the running kernel, or a driver, lacks the feature.
 * - `HELD`: a link of another process holds the program, and only that process can change it.
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
