/** An option as described in the grammar's tables, and an option as found. */
import type { Problems } from "../problems.ts";
import { didYouMean } from "../suggest.ts";
import { partOf, tailOf, type Word } from "./words.ts";

/** One option. The parser, `-h` and shell completion all use it. */
export interface OptionSpec {
	/** Long names without dashes; the first one is printed. */
	readonly long: readonly [string, ...string[]];
	/** One letter or digit. */
	readonly short?: string;
	/** Name of the argument in the help; absent if there is none. */
	readonly argument?: string;
	/**
	 * `attached`: the argument is optional and must be attached, as `--opt=value` or `-ovalue` (getopt's optional
	 * argument); the command itself may then take the next word.
	 */
	readonly optional?: "attached";
	/** A `!` may precede it. */
	readonly negatable?: boolean;
	readonly help: string;
}

/** An option on a command line. */
export interface Given {
	readonly option: OptionSpec;
	readonly negated: boolean;
	/** The option as typed. */
	readonly at: Word;
	/** The argument; undefined if there is none. */
	readonly value: Word | undefined;
}

/** A set of options, found by their names. */
export class OptionSet {
	readonly options: readonly OptionSpec[];
	readonly #long = new Map<string, OptionSpec>();
	readonly #short = new Map<string, OptionSpec>();

	constructor(options: readonly OptionSpec[]) {
		this.options = options;
		for (const option of options) {
			for (const long of option.long) if (!this.#long.has(long)) this.#long.set(long, option);
			if (option.short !== undefined && !this.#short.has(option.short)) this.#short.set(option.short, option);
		}
	}

	/** Finds an option by its whole name, without dashes. */
	long(name: string): OptionSpec | undefined {
		return this.#long.get(name);
	}

	short(letter: string): OptionSpec | undefined {
		return this.#short.get(letter);
	}
}

/** Options that are allowed here, and the owner of each. */
export interface Offer<Owner> {
	readonly set: OptionSet;
	ownerOf(option: OptionSpec): Owner;
}

/** An offer in which each option has its own owner. */
export function offerOf<Owner>(owned: readonly (readonly [Owner, OptionSpec])[]): Offer<Owner> {
	const owners = new Map(owned.map(([owner, option]) => [option, owner]));
	return {
		set: new OptionSet(owned.map(([, option]) => option)),
		ownerOf(option) {
			const owner = owners.get(option);
			if (owner === undefined) throw new RangeError(`no option ${optionName(option)} was offered`);
			return owner;
		},
	};
}

/** An option and its owner, for the scanner's caller. */
interface Owned<Owner> {
	readonly option: OptionSpec;
	readonly owner: Owner;
}

export interface ScanTarget<Owner> {
	/** The options allowed here, of the most recently loaded module first; called again for each word. */
	offers(): readonly Offer<Owner>[];
	/** Takes one option; `rest` gives access to the words after it. */
	accept(given: Given, owner: Owner, rest: Rest): void;
	/** Called for an option that is not offered: true if something was loaded, so that looking again may help. */
	load(name: string): boolean;
	/** Reports an unknown option with a better message than "unknown option"; true if it did. */
	explain(name: string, at: Word): boolean;
	/** A word that is not an option; without this method, such a word is an error. */
	operand?(word: Word): void;
}

/** The words after an option, for arguments that getopt does not know (`-I CHAIN [number]`). */
export interface Rest {
	/** Takes the next word if it is neither an option nor `!` (and has that shape). */
	takeBare(shape?: RegExp): Word | undefined;
}

/** `--dscp`, or `-s` for options that iptables names by their letter. */
export function optionName(option: OptionSpec): string {
	return option.short === undefined ? `--${option.long[0]}` : `-${option.short}`;
}

/**
 * Reads words like getopt_long in iptables: `--opt value`, `--opt=value`, unique prefixes of long names, joined short
 * options, `!` before an option. Continues after a fault to find further ones.
 */
export function scanOptions<Owner>(
	words: readonly Word[],
	target: ScanTarget<Owner>,
	problems: Problems,
): void {
	let index = 0;
	let bang: Word | undefined;
	const rest: Rest = {
		takeBare(shape = /^[^-!]|^$/) {
			const word = words[index];
			if (word === undefined || !shape.test(word.text)) return undefined;
			index++;
			return word;
		},
	};
	const give = (found: Owned<Owner>, at: Word, attached: Word | undefined): void => {
		const { option, owner } = found;
		let value = attached;
		if (option.argument !== undefined && value === undefined && option.optional === undefined) {
			value = words[index];
			if (value === undefined) {
				problems.add("RULE_MISSING", `option "${at.text}" requires an argument`, at.position);
				bang = undefined;
				return;
			}
			index++;
		}
		if (bang !== undefined && option.negatable !== true) {
			problems.add("RULE_SYNTAX", `${optionName(option)} cannot be inverted with !`, bang.position);
		}
		if (value?.text === "!" && option.negatable === true) {
			const message = `! is after ${at.text}`;
			problems.add("RULE_SYNTAX", message, value.position, `put it before the option: ! ${at.text}`);
			value = rest.takeBare() ?? value;
		}
		target.accept({ option, negated: bang !== undefined, at, value }, owner, rest);
		bang = undefined;
	};
	const skipArguments = (): void => {
		bang = undefined;
		while (rest.takeBare() !== undefined);
	};
	const unknown = (name: string, at: Word): void => {
		if (!target.explain(name, at)) {
			const known = target
				.offers()
				.flatMap(({ set }) => set.options.flatMap(({ long }) => long.map((one) => `--${one}`)));
			problems.add(
				"RULE_UNKNOWN_OPTION",
				`unknown option "${name}"`,
				at.position,
				name.startsWith("--") ? didYouMean(name, known) : undefined,
			);
		}
		skipArguments();
	};

	while (index < words.length) {
		const word = words[index++];
		if (word === undefined) break;
		const { text } = word;
		if (text === "!") {
			if (bang !== undefined) {
				problems.add("RULE_SYNTAX", "multiple consecutive ! not allowed", word.position);
			}
			bang = word;
		} else if (text === "--") {
			const extra = words[index];
			if (extra !== undefined) {
				problems.add("RULE_SYNTAX", "unknown arguments found on commandline", extra.position);
			}
			break;
		} else if (text.startsWith("--")) {
			const equals = text.indexOf("=");
			const name = equals < 0 ? text : text.slice(0, equals);
			const at = equals < 0 ? word : { ...word, text: name, position: partOf(word, 0, equals) };
			let found = findLong(name.slice(2), target.offers());
			if (found === undefined && target.load(name)) found = findLong(name.slice(2), target.offers());
			if (found === undefined) {
				unknown(name, at);
			} else if (Array.isArray(found)) {
				const choices = found.map(({ option }) => `--${option.long[0]}`).join(", ");
				problems.add("RULE_UNKNOWN_OPTION", `option "${name}" is ambiguous: ${choices}`, at.position);
				skipArguments();
			} else if (equals >= 0 && found.option.argument === undefined) {
				problems.add("RULE_SYNTAX", `option "${name}" takes no argument`, word.position);
				bang = undefined;
			} else {
				give(found, at, equals < 0 ? undefined : tailOf(word, equals + 1));
			}
		} else if (text.length > 1 && text.startsWith("-")) {
			for (let i = 1; i < text.length; i++) {
				const letter = text[i] ?? "";
				const at = text.length === 2 ? word : { ...word, text: `-${letter}`, position: partOf(word, i, 1) };
				const found = findOption(target.offers(), (set) => set.short(letter));
				if (found === undefined) {
					unknown(`-${letter}`, at);
					break;
				}
				const joined = i + 1 < text.length ? tailOf(word, i + 1) : undefined;
				if (found.option.argument === undefined) give(found, at, undefined);
				else {
					give(found, at, joined);
					break;
				}
			}
		} else if (target.operand !== undefined && bang === undefined) {
			target.operand(word);
		} else {
			problems.add("RULE_SYNTAX", `Bad argument \`${text}'`, word.position);
			bang = undefined;
		}
	}
	if (bang !== undefined) {
		problems.add(
			"RULE_SYNTAX",
			"! stands before nothing",
			bang.position,
			"it goes before the option that it inverts",
		);
	}
}

/** The option with that name; for an ambiguous prefix, all candidates. */
function findLong<Owner>(
	name: string,
	offers: readonly Offer<Owner>[],
): Owned<Owner> | Owned<Owner>[] | undefined {
	const exact = findOption(offers, (set) => set.long(name));
	if (exact !== undefined || name === "") return exact;
	const found = new Map<OptionSpec, Owned<Owner>>();
	for (const offer of offers) {
		for (const option of offer.set.options) {
			if (found.has(option) || !option.long.some((long) => long.startsWith(name))) continue;
			found.set(option, { option, owner: offer.ownerOf(option) });
		}
	}
	const [first] = found.values();
	return found.size > 1 ? [...found.values()] : first;
}

function findOption<Owner>(
	offers: readonly Offer<Owner>[],
	find: (set: OptionSet) => OptionSpec | undefined,
): Owned<Owner> | undefined {
	for (const offer of offers) {
		const option = find(offer.set);
		if (option !== undefined) return { option, owner: offer.ownerOf(option) };
	}
	return undefined;
}
