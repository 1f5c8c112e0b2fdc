/** A state as a symbol and a colour, and as a word for readers who see neither. */
import type { JSX } from "preact";
import type { Tone } from "../state/services.ts";

export function Sign({ tone, sign, label }: { tone: Tone; sign: string; label?: string }): JSX.Element {
	return (
		<span class={`sign ${tone}`}>
			<span aria-hidden="true">{sign}</span>
			{label === undefined ? null : <span class="unseen">{label}</span>}
		</span>
	);
}
