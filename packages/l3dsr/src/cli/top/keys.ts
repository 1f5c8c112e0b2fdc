/** The sequences that a terminal sends for keys: xterm's, which every emulator supports. Pure. */

export type Key =
	| { readonly kind: "text"; readonly text: string }
	| {
			readonly kind:
				| "up"
				| "down"
				| "page-up"
				| "page-down"
				| "home"
				| "end"
				| "tab"
				| "enter"
				| "escape"
				| "backspace"
				| "interrupt"
				| "suspend";
	  };

type Named = Exclude<Key, { kind: "text" }>["kind"];

/** After `ESC [` or `ESC O`. */
const SEQUENCES: Readonly<Record<string, Named>> = {
	A: "up",
	B: "down",
	H: "home",
	F: "end",
	"1~": "home",
	"4~": "end",
	"5~": "page-up",
	"6~": "page-down",
	"7~": "home",
	"8~": "end",
};

const CONTROLS: Readonly<Record<string, Named>> = {
	"\t": "tab",
	"\r": "enter",
	"\n": "enter",
	"\u007f": "backspace",
	"\b": "backspace",
	"\u0003": "interrupt",
	"\u001a": "suspend",
};

const ESCAPE = "\u001b";
const SEQUENCE = new RegExp(`^${ESCAPE}[[O]([0-9;]*[A-Za-z~])`);

/** The keys in one piece of input; a terminal sends each sequence whole. Unknown sequences are left out. */
export function decodeKeys(input: string): readonly Key[] {
	const keys: Key[] = [];
	let rest = input;
	while (rest !== "") {
		const sequence = SEQUENCE.exec(rest);
		if (sequence !== null) {
			const kind = SEQUENCES[sequence[1] ?? ""];
			if (kind !== undefined) keys.push({ kind });
			rest = rest.slice(sequence[0].length);
			continue;
		}
		const [first = ""] = rest;
		rest = rest.slice(first.length);
		const control = first === ESCAPE ? "escape" : CONTROLS[first];
		if (control !== undefined) keys.push({ kind: control });
		else if (!/\p{Cc}/u.test(first)) keys.push({ kind: "text", text: first });
	}
	return keys;
}
