/** NFTA_DATA_*: the value of a register, or a verdict. */
import {
	attribute,
	attributes,
	type Codec,
	mapped,
	named,
	raw,
	signedBe32,
	text,
	UnreadableError,
} from "./codec.ts";
import type { Verdict } from "./element.ts";
import { VERDICTS } from "./uapi.ts";

const VALUE = 1;
const VERDICT = 2;

interface WireData {
	readonly value?: Uint8Array;
	readonly verdict?: Verdict;
}

const verdict: Codec<Verdict> = attributes<Verdict>({
	verdict: attribute(1, named(VERDICTS, signedBe32)),
	chain: attribute(2, text),
});

const data: Codec<WireData> = attributes<WireData>({
	value: attribute(VALUE, raw),
	verdict: attribute(VERDICT, verdict),
});

export const anyData: Codec<Uint8Array | Verdict> = mapped(
	data,
	(value): WireData => (value instanceof Uint8Array ? { value } : { verdict: value }),
	({ value, verdict: found }) => {
		const known = value ?? found;
		if (known === undefined) throw new UnreadableError("data that is neither a value nor a verdict");
		return known;
	},
);

export const valueData: Codec<Uint8Array> = mapped(
	data,
	(value): WireData => ({ value }),
	({ value }) => {
		if (value === undefined) throw new UnreadableError("data without a value");
		return value;
	},
);
