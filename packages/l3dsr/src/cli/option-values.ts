/** Values of options that several commands have. */
import { type Dscp, dscp } from "@l3dsr/packet";
import { L3dsrError } from "../errors.ts";
import { readDscp } from "../syntax/config/read-value.ts";

/** `--dscp`: 0-63 or a class. Throws L3dsrError (USAGE), with a hint where the value looks like a TOS byte. */
export function dscpOption(text: string): Dscp {
	const code = readDscp(text);
	if (code.ok) return dscp(code.value);
	const { message, hint } = code;
	throw new L3dsrError({
		code: "USAGE",
		message: `--dscp: ${message}`,
		...(hint === undefined ? {} : { hint }),
	});
}
