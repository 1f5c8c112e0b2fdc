/** The error that the functions of this package throw. */

/**
 * - `PERMISSION`: the process lacks CAP_NET_ADMIN.
 * - `UNSUPPORTED`: the running kernel has no nf_tables, or lacks the requested feature.
 * - `CHANGED`: the ruleset has another generation than the transaction expects; nothing was changed.
 * - `REFUSED`: the kernel refused a command; nothing was changed.
 * - `UNREADABLE`: the kernel sent something that this package cannot read.
 */
export type NftablesErrorCode = "PERMISSION" | "UNSUPPORTED" | "CHANGED" | "REFUSED" | "UNREADABLE";

export interface NftablesErrorOptions extends ErrorOptions {
	/** What to do next. */
	readonly hint?: string | undefined;
	/** The name of the errno, such as `ENOENT`. */
	readonly errno?: string | undefined;
	/** The kernel's own message (extended ACK), if it sent one. */
	readonly explanation?: string | undefined;
	/** Index of the refused command. */
	readonly command?: number | undefined;
}

/** The message says what was done, to which object, and why it failed. */
export class NftablesError extends Error {
	override readonly name: string = "NftablesError";
	readonly code: NftablesErrorCode;
	readonly hint?: string;
	readonly errno?: string;
	readonly explanation?: string;
	readonly command?: number;

	constructor(code: NftablesErrorCode, message: string, options: NftablesErrorOptions = {}) {
		super(message, options);
		this.code = code;
		const { hint, errno, explanation, command } = options;
		if (hint !== undefined) this.hint = hint;
		if (errno !== undefined) this.errno = errno;
		if (explanation !== undefined) this.explanation = explanation;
		if (command !== undefined) this.command = command;
	}
}
