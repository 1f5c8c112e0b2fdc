/** The error that the functions of this package throw. */

/** `CAPTURE_FORMAT`: the bytes are neither pcap nor pcapng, or are damaged. */
export type PacketErrorCode = "CAPTURE_FORMAT";

/** The message says what was read and what is wrong with it. */
export class PacketError extends Error {
	override readonly name: string = "PacketError";
	readonly code: PacketErrorCode;

	/** What to do next. */
	readonly hint?: string;

	constructor(code: PacketErrorCode, message: string, hint?: string) {
		super(message);
		this.code = code;
		if (hint !== undefined) this.hint = hint;
	}
}
