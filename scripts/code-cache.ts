/**
 * V8's code cache of a part: the bytecode of only those functions that commands run (the chunks themselves, and
 * hot-functions.txt). A cache of all functions would be twice the size and take longer to read than it saves; a
 * cache made by running the commands would depend on the building host. So the functions are compiled without
 * being run: V8 compiles a function when a debugger asks for its breakpoints.
 *
 *     code-cache.ts PART...     makes their caches, with the Node that runs this
 *
 * Packages are built like that. It must be the processor's own Node (emulated, if necessary): V8 accepts a
 * cache that the same version made on another processor, and crashes.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { Script } from "node:vm";

/**
 * The beginning of a function, whose source begins here, as the list has it: long enough to distinguish nearly all of
 * them, and steady.
 */
export function headOf(source: string): string {
	return steady(source.slice(0, LONGEST_HEAD)).text.slice(0, HEAD_LENGTH);
}

const HEAD_LENGTH = 40;
/** More than enough characters of the source for a head. */
const LONGEST_HEAD = 200;

/**
 * A source without what changes with any other function: line ends, and the short names that esbuild gives to variables.
 * `removed`: how much of the text is before each of the characters that were left out, ascending.
 */
export function steady(source: string): { readonly text: string; readonly removed: readonly number[] } {
	const removed: number[] = [];
	const text = source.replace(GIVEN, (word, at: number) => {
		const kept = word === "\n" ? "" : "_";
		if (kept.length < word.length) removed.push(at + kept.length - removed.length);
		return kept;
	});
	return { text, removed };
}

/** Line ends, and words that look like names from esbuild, which have up to two characters. */
const GIVEN = /\n|(?<![\w$.])(?!(?:if|in|of|do|as)(?![\w$]))[A-Za-z_$][\w$]?(?![\w$])/g;

/** How many of the ascending numbers are at most `most`. */
function countUpTo(ascending: readonly number[], most: number): number {
	let [low, high] = [0, ascending.length];
	while (low < high) {
		const middle = (low + high) >> 1;
		if ((ascending[middle] ?? 0) <= most) low = middle + 1;
		else high = middle;
	}
	return low;
}

/** Begins each function of a part, after its name. It runs when it is loaded. */
export const FUNCTION_HEAD = "(__exports,require,__load,__import,__url,__dir){";

/** The beginning of each function, one per line. Written by bench/hot-functions.ts. */
export const HOT_FUNCTIONS: string = fileURLToPath(new URL("hot-functions.txt", import.meta.url));

/**
 * V8's flags of commands. V8 accepts a cache only under the flags that it was made with, so ours are made under
 * these; the caches of Node's own modules are refused, and a command should need only the modules that every Node
 * has loaded.
 *
 * By default V8 optimises a function after 400 calls, in a parallel thread that rarely finishes before the command
 * does. A function that was called 4,000 times is worth it.
 *
 * An eighth of Node's start goes into hashing Node's snapshot again with a seed of this process. The seed protects
 * programs whose tables others can fill, such as the process that speaks HTTP (it has one, cli/agent.ts).
 */
export const FLAGS: readonly string[] = ["--invocation-count-for-maglev=4000", "--no-rehash-snapshot"];

/** For the inspector: counted from 0, the column in characters. */
interface Place {
	readonly lineNumber: number;
	readonly columnNumber: number;
}

/** Writes FILE.cache beside a part. */
export function writeCodeCache(file: string, hot: readonly string[]): void {
	writeFileSync(`${file}.cache`, codeCache(readFileSync(file, "latin1"), hot));
}

/** The beginnings of the functions. One that no part contains any longer does no harm. */
export function hotFunctions(): string[] {
	return readFileSync(HOT_FUNCTIONS, "utf8").split("\n").filter(Boolean);
}

function codeCache(source: string, hot: readonly string[]): Uint8Array {
	// V8 drops bytecode that has not run for a while when it collects garbage, so the same source would give
	// another cache.
	setFlagsFromString("--no-flush-bytecode");
	const places = placesIn(source, hot);
	const session = new Session();
	session.connect();
	const ask = (method: string, params?: object): void => {
		// The session is of this thread: the answer is there when post() returns.
		session.post(method, params, (error) => {
			if (error !== null) throw new Error(`${method}: ${error.message}`);
		});
	};
	let scriptId: string | undefined;
	session.on("Debugger.scriptParsed", ({ params }) => {
		if (params.url.endsWith("part")) ({ scriptId } = params);
	});
	ask("Debugger.enable");
	const script = new Script(source, { filename: "part" });
	script.runInThisContext(); // creates the part's object and calls nothing: now the inspector reports the script
	if (scriptId === undefined) throw new Error("code-cache: the inspector does not tell of the script");
	for (const [start, end] of places) {
		ask("Debugger.getPossibleBreakpoints", { start: { scriptId, ...start }, end: { scriptId, ...end } });
	}
	ask("Debugger.disable");
	session.disconnect();
	setFlagsFromString("--flush-bytecode");
	for (const flag of FLAGS) setFlagsFromString(flag);
	return script.createCachedData();
}

/**
 * The parameters of each of the functions, as [start, end): a position in them is not inside any other
 * function.
 */
function placesIn(source: string, hot: readonly string[]): (readonly [start: Place, end: Place])[] {
	const lineStarts = [0];
	for (let at = source.indexOf("\n"); at >= 0; at = source.indexOf("\n", at + 1)) lineStarts.push(at + 1);
	const { text, removed } = steady(source);
	const places: [Place, Place][] = [];
	for (const head of [steady(FUNCTION_HEAD).text, ...hot]) {
		const inside = parametersOf(head);
		for (let at = text.indexOf(head); at >= 0; at = text.indexOf(head, at + 1)) {
			const offset = at + inside + countUpTo(removed, at + inside);
			places.push([placeAt(offset), placeAt(offset + 1)]);
		}
	}
	return places;

	function placeAt(offset: number): Place {
		const lineNumber = countUpTo(lineStarts, offset) - 1;
		return { lineNumber, columnNumber: offset - (lineStarts[lineNumber] ?? 0) };
	}
}

/** `one=>…` begins with its parameter, every other function has parentheses. */
function parametersOf(head: string): number {
	return /^(async )?[\w$]+=>/.test(head) ? head.indexOf("=>") - 1 : head.indexOf("(") + 1;
}

const [, script, ...files] = process.argv;
if (script === fileURLToPath(import.meta.url)) {
	const hot = hotFunctions();
	for (const file of files) writeCodeCache(file, hot);
}
