/** A YAML text with positions: every finding names line and column, and shows the line. */
import {
	isAlias,
	isMap,
	isScalar,
	isSeq,
	LineCounter,
	type Node,
	parseDocument,
	visit,
	type YAMLError,
	type YAMLMap,
} from "yaml";
import { type Diagnostic, type ErrorCode, L3dsrError, type Position } from "../../errors.ts";
import { LIMITS } from "../limits.ts";
import { withMoreNote } from "../problems.ts";

export class ConfigDocument {
	readonly #source: string;
	readonly #text: string;
	readonly #lines = new LineCounter();
	readonly #document;
	readonly #found: Diagnostic[] = [];
	#readable: boolean;
	/** The values of each mapping that was looked into; most values that are asked for are not there. */
	readonly #values = new WeakMap<YAMLMap, ReadonlyMap<unknown, unknown>>();

	/** `source`: the file's name as given. Faults in the YAML syntax are reported at once. */
	constructor(text: string, source: string) {
		this.#source = source;
		this.#text = text;
		this.#document = parse(text, source, this.#lines);
		for (const error of [...this.#document.errors, ...this.#document.warnings]) this.#reportSyntax(error);
		this.#readable = this.#document.errors.length === 0;
		// A text without the sign has no alias; most have none, and a walk over all nodes takes its time.
		if (this.#readable && text.includes("*")) this.#checkAliases();
	}

	/** Reports aliases without an anchor, and nested aliases that would expand to millions of values. */
	#checkAliases(): void {
		let count = 0;
		visit(this.#document, {
			Alias: (_key, alias) => {
				count++;
				if (this.#readable && count > LIMITS.yamlAliases) {
					this.#reportAlias(`the file has more than ${LIMITS.yamlAliases} aliases`, alias);
				} else if (alias.resolve(this.#document) === undefined) {
					this.#reportAlias(`alias *${alias.source} has no anchor &${alias.source} before it`, alias);
				}
			},
		});
		if (count === 0 || !this.#readable) return;
		try {
			this.#document.toJS({ maxAliasCount: LIMITS.yamlAliases });
		} catch (error) {
			if (!(error instanceof ReferenceError || error instanceof RangeError)) throw error;
			const message = "nested aliases expand to too many values, or refer to themselves";
			this.report("CONFIG_SYNTAX", message, this.position(0, 0));
			this.#readable = false;
		}
	}

	#reportAlias(message: string, { range }: Node): void {
		this.#readable = false;
		this.report("CONFIG_SYNTAX", message, this.position(range?.[0] ?? 0, range?.[1] ?? 0));
	}

	/** True if the text is valid YAML, so that its values can be read. */
	get readable(): boolean {
		return this.#readable;
	}

	/** The content as plain JavaScript values, for the schema. */
	toJS(): unknown {
		return this.#document.toJS({ maxAliasCount: LIMITS.yamlAliases }) ?? {};
	}

	/** The node at a path of keys and indexes, with aliases resolved; undefined if there is none. */
	at(path: readonly (string | number)[]): Node | undefined {
		let node = this.#resolve(this.#document.contents);
		for (const key of path) {
			node = this.#resolve(
				isMap(node) ? this.#valuesOf(node).get(key) : isSeq(node) ? node.get(key, true) : undefined,
			);
		}
		return node;
	}

	#valuesOf(map: YAMLMap): ReadonlyMap<unknown, unknown> {
		let values = this.#values.get(map);
		if (values === undefined) {
			values = valuesByKey(map);
			this.#values.set(map, values);
		}
		return values;
	}

	/** The text of a scalar, or of each scalar in a list, as written, so that 010 and 0x10 stay as they are. */
	scalars(path: readonly (string | number)[]): { readonly text: string; readonly position: Position }[] {
		const node = this.at(path);
		if (node === undefined) return [];
		const items = isSeq(node) ? node.items.map((item) => this.#resolve(item)) : [node];
		const positionOf = (start: number, end: number) => this.position(start, end);
		return items.flatMap((item) => {
			if (!isScalar(item) || item.value === null || !item.range) return [];
			const [start, end] = item.range;
			const text = typeof item.value === "string" ? item.value : (item.source ?? String(item.value));
			return [
				{
					text,
					// A getter, because positions are only needed for faults.
					get position() {
						return positionOf(start, end);
					},
				},
			];
		});
	}

	/** The number of entries in the list at a path; 0 if there is none. */
	count(path: readonly (string | number)[]): number {
		const node = this.at(path);
		return isSeq(node) ? node.items.length : 0;
	}

	/** The keys of the mapping at a path, in order. */
	keys(path: readonly (string | number)[]): string[] {
		const node = this.at(path);
		return isMap(node) ? node.items.map(({ key }) => String(isScalar(key) ? key.value : key)) : [];
	}

	/** `scalar`: one value; `scalars`: a list of one or more values and nothing else; `other`: anything else. */
	shape(path: readonly (string | number)[]): "scalar" | "scalars" | "other" {
		const node = this.at(path);
		const count = this.scalars(path).length;
		if (isScalar(node) && count === 1) return "scalar";
		return isSeq(node) && count > 0 && count === node.items.length ? "scalars" : "other";
	}

	/** The position of the value at a path; of its nearest ancestor if there is none. */
	place(path: readonly (string | number)[]): Position {
		for (let length = path.length; length >= 0; length--) {
			const range = this.at(path.slice(0, length))?.range;
			if (range) return this.position(range[0], range[1]);
		}
		return this.position(0, 0);
	}

	/** The position of a key in the mapping at `path`. */
	placeOfKey(path: readonly (string | number)[], key: string): Position {
		const map = this.at(path);
		const pair = isMap(map)
			? map.items.find(({ key: node }) => isScalar(node) && String(node.value) === key)
			: undefined;
		const range = isScalar(pair?.key) ? pair.key.range : undefined;
		return range ? this.position(range[0], range[1]) : this.place(path);
	}

	/** From offsets into the text; a range over several lines is cut off at the end of the first. */
	position(start: number, end: number): Position {
		const { line, col } = this.#lines.linePos(start);
		const lineStart = start - (col - 1);
		const lineEnd = this.#text.indexOf("\n", lineStart);
		const text = this.#text.slice(lineStart, lineEnd < 0 ? undefined : lineEnd).replace(/\r$/, "");
		const length = Math.max(1, Math.min(end - start, text.length - (col - 1)));
		return { source: this.#source, line: Math.max(1, line), column: Math.max(1, col), length, text };
	}

	report(
		code: ErrorCode,
		message: string,
		position: Position,
		more: Pick<Diagnostic, "hint" | "notes"> = {},
	): void {
		if (this.#found.length < LIMITS.problems) this.#found.push({ code, message, position, ...more });
	}

	/** All diagnostics, in the order of the text. */
	diagnostics(): Diagnostic[] {
		return withMoreNote(sortDiagnostics(this.#found), this.#found.length >= LIMITS.problems);
	}

	#resolve(node: unknown): Node | undefined {
		if (isAlias(node)) return node.resolve(this.#document);
		return isMap(node) || isSeq(node) || isScalar(node) ? node : undefined;
	}

	#reportSyntax(error: YAMLError): void {
		const message = error.message.charAt(0).toLowerCase() + error.message.slice(1);
		const hint = error.code === "TAB_AS_INDENT" ? { hint: "indent with blanks" } : {};
		this.report("CONFIG_SYNTAX", message, this.position(error.pos[0], error.pos[1]), hint);
	}
}

/** The first value of each key. */
function valuesByKey({ items }: YAMLMap): Map<unknown, unknown> {
	const values = new Map<unknown, unknown>();
	for (const { key, value } of items) {
		const name = isScalar(key) ? key.value : key;
		if (!values.has(name)) values.set(name, value);
	}
	return values;
}

/** Throws CONFIG_SYNTAX if the text is too long or too deeply nested to read. */
function parse(text: string, source: string, lineCounter: LineCounter): ReturnType<typeof parseDocument> {
	if (text.length > LIMITS.yamlLength) {
		throw new L3dsrError({
			code: "CONFIG_SYNTAX",
			message: `${source} has ${text.length} characters, the limit is ${LIMITS.yamlLength}`,
			hint: "is this the right file?",
		});
	}
	const whole = parseOnStack(text, lineCounter);
	if (whole !== undefined) return whole;
	const start = parseOnStack(text.slice(0, START_LENGTH), lineCounter);
	const fault = start?.errors.find(({ pos: [, end] }) => end < START_LENGTH);
	if (start === undefined || fault === undefined)
		throw new L3dsrError({ code: "CONFIG_SYNTAX", message: `${source} is nested too deeply` });
	start.errors.splice(0, start.errors.length, fault);
	return start;
}

/** When a whole file cannot be parsed, a fault in this many characters says why. */
const START_LENGTH = 2000;

/**
 * Undefined if the stack is too small: the parser recurses for every level, of which a sensible file has six, and after
 * some faults for every entry that follows.
 */
function parseOnStack(text: string, lineCounter: LineCounter): ReturnType<typeof parseDocument> | undefined {
	lineCounter.lineStarts.length = 0;
	try {
		// All that it warns of is an error to us.
		return parseDocument(text, { lineCounter, prettyErrors: false, logLevel: "error", version: "1.2" });
	} catch (error) {
		if (error instanceof RangeError) return undefined;
		throw error;
	}
}

/** By file, then by line and column; diagnostics without a position come last. */
export function sortDiagnostics(diagnostics: readonly Diagnostic[]): Diagnostic[] {
	return [...diagnostics].sort(({ position: a }, { position: b }) => {
		if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? 1 : -1;
		return a.source === b.source ? a.line - b.line || a.column - b.column : a.source < b.source ? -1 : 1;
	});
}
