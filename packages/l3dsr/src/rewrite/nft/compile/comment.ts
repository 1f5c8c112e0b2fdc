/**
 * The comments that hold rules in the kernel: `ORDINAL RULESPEC`, in the syntax of `iptables -S`.
 *
 * An nft comment holds 128 bytes (NFTNL_UDATA_COMMENT_MAXLEN). In a longer rule the most common phrases are
 * abbreviated, so that rules of services fit the element of a map. If it is still too long, it is cut into pieces:
 * the first stays with the rule, `ORDINAL (1/3) ...`, and the others are comments of rules in a chain that nothing
 * jumps to.
 */

import { L3dsrError } from "../../../errors.ts";
import type { Rule } from "../../../model/rule.ts";
import type { ChainPlace } from "../../../plan/ruleset-editor.ts";
import { formatRuleSpec } from "../../../syntax/iptables/rule-format.ts";
import { parseRuleSpec } from "../../../syntax/iptables/rule-parser.ts";

const COMMENT_BYTES = 128;

/** The content of a comment. `piece` counts from 1. */
export interface RuleComment {
	readonly ordinal: number;
	readonly piece: number;
	readonly pieces: number;
	readonly text: string;
}

type Comments = readonly [string, ...string[]];

const written = new WeakMap<Rule, { readonly ordinal: number; readonly comments: Comments }>();

/**
 * The comments of a rule; the first is for the rule itself. Cached, because they are needed several times on the way
 * into the kernel.
 */
export function ruleComments(ordinal: number, rule: Rule): Comments {
	const known = written.get(rule);
	if (known?.ordinal === ordinal) return known.comments;
	const comments = commentsOf(ordinal, quote(formatRuleSpec(rule)));
	written.set(rule, { ordinal, comments });
	return comments;
}

function commentsOf(ordinal: number, text: string): Comments {
	const whole = `${ordinal} ${text}`;
	if (Buffer.byteLength(whole) <= COMMENT_BYTES) return [whole];
	const short = `${ordinal} ${abbreviate(text)}`;
	if (Buffer.byteLength(short) <= COMMENT_BYTES) return [short];
	const room = COMMENT_BYTES - Buffer.byteLength(`${ordinal} (99/99) `);
	const [first = "", ...others] = cut(text, room);
	const pieces = others.length + 1;
	const piece = (part: string, index: number): string => `${ordinal} (${index + 1}/${pieces}) ${part}`;
	return [piece(first, 0), ...others.map((part, index) => piece(part, index + 1))];
}

/** Undefined if the comment is not one of a rule. */
export function readComment(comment: string): RuleComment | undefined {
	const found = /^(-?\d{1,16}) (?:\((\d+)\/(\d+)\) )?(.*)$/s.exec(comment);
	if (found === null) return undefined;
	const [, ordinal, piece = "1", pieces = "1", text = ""] = found;
	if (!Number.isSafeInteger(Number(ordinal))) return undefined;
	return { ordinal: Number(ordinal), piece: Number(piece), pieces: Number(pieces), text };
}

/**
 * Parses rules from their comments, and remembers them from one reading of the tables to the next, because a ruleset
 * is observed again after each change.
 */
export class RuleReader {
	#known = new Map<string, Rule | undefined>();
	#before: ReadonlyMap<string, Rule | undefined> = new Map();

	/** Starts a new reading, and forgets what the previous one did not use. */
	begin(): void {
		this.#before = this.#known;
		this.#known = new Map();
	}

	/** The rule that these comments form together; undefined if they form none. */
	read(texts: readonly string[], place: ChainPlace): Rule | undefined {
		const key = keyOf(texts, place);
		if (this.#known.has(key)) return this.#known.get(key);
		const rule = this.#before.has(key) ? this.#before.get(key) : readRule(texts, place);
		this.#known.set(key, rule);
		return rule;
	}

	/** Remembers a rule that is about to be written, so that it need not be parsed when read back. */
	expect(rule: Rule, ordinal: number): void {
		const texts = ruleComments(ordinal, rule).map((comment) => readComment(comment)?.text ?? "");
		this.#known.set(keyOf(texts, rule), rule);
	}
}

function keyOf(texts: readonly string[], { family, table, chain }: ChainPlace): string {
	return `${family} ${table} ${chain} ${texts.join("")}`;
}

function readRule(texts: readonly string[], place: ChainPlace): Rule | undefined {
	const spec = unquote(texts.join(""));
	try {
		return spec === undefined ? undefined : parseRuleSpec(spec, place);
	} catch (error) {
		// Not written by l3dsr, or by a newer version; the caller reports what it found instead.
		if (error instanceof L3dsrError) return undefined;
		throw error;
	}
}

/** Cuts text into pieces of at most `room` bytes, without splitting a character. */
function cut(text: string, room: number): string[] {
	const pieces: string[] = [];
	let piece = "";
	let bytes = 0;
	for (const character of text) {
		const size = Buffer.byteLength(character);
		if (bytes + size > room) {
			pieces.push(piece);
			piece = "";
			bytes = 0;
		}
		piece += character;
		bytes += size;
	}
	return [...pieces, piece];
}

/**
 * nft strings are in double quotes and have no escapes. So a double quote becomes a single quote, which a shell
 * accepts too, and other problematic characters become %XX (control characters a placeholder, as in printable.ts).
 */
function quote(text: string): string {
	return text
		.replace(/[%~']|[^ -~\u00a0-\uffff]/g, (character) => `%${hex(character.charCodeAt(0))}`)
		.replaceAll('"', "'");
}

/** Written as `~1`, `~2` … in a quoted text. Never change one, because the kernel may hold it. */
const PHRASES = [
	"-m dscp --dscp 0x",
	" -m addrtype --dst-type LOCAL",
	" -m comment --comment ",
	" -j DADDR --set-daddr ",
] as const;

function abbreviate(text: string): string {
	return PHRASES.reduce((short, phrase, index) => short.replaceAll(phrase, `~${index + 1}`), text);
}

function unquote(text: string): string | undefined {
	if (/%(?![0-9a-f]{2})|~(?![1-4])/.test(text)) return undefined;
	return text
		.replace(/~([1-4])/g, (_, number: string) => PHRASES[Number(number) - 1] ?? "")
		.replaceAll("'", '"')
		.replace(/%([0-9a-f]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}

function hex(code: number): string {
	return code.toString(16).padStart(2, "0");
}
