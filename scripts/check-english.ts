/**
 * Finds a few constructions that are not plain English in documents, messages, comments and test titles:
 * check-english.ts [ROOT]. It checks only patterns that a program can find and that are rarely right;
 * CONTRIBUTING has the rest.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

interface Pattern {
	readonly find: RegExp;
	readonly advice: string;
}

const PATTERNS: readonly Pattern[] = [
	{
		find: /(?<!\bthere )\b(?:is|are|was|were) no (?!(?:longer|more|less|fewer|better|worse|different|larger|smaller)\b)[a-z]/gi,
		advice: 'write "is not a …"',
	},
	{ find: /\bthat which\b/gi, advice: 'write "what" or name the thing' },
	{ find: /\bto be had\b/gi, advice: 'write "available" or "possible"' },
	{ find: /\bthereof\b/gi, advice: 'write "of it" or name the thing' },
];

/** Folders with our own text. */
const FOLDERS = ["bench", "docs", "examples", "packages", "packaging", "scripts", "test"];
const TEXTS = /\.(?:md|tsx?|ya?ml|sh|css|html)$/;
/** Generated, installed, or about these constructions themselves. */
const LEFT_OUT = /^(?:node_modules|dist|golden|build|check-english\.(?:test\.)?ts)$/;

function main(root: string): number {
	const faults = [...textsBelow(root)].flatMap((path) =>
		faultsOf(relative(root, path), readFileSync(path, "utf8")),
	);
	for (const fault of faults) process.stdout.write(`${fault}\n`);
	return faults.length === 0 ? 0 : 1;
}

function* textsBelow(root: string): Generator<string> {
	for (const name of ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"]) yield join(root, name);
	for (const folder of FOLDERS) yield* textsIn(join(root, folder));
}

function* textsIn(folder: string): Generator<string> {
	for (const entry of readdirSync(folder, { withFileTypes: true })) {
		if (LEFT_OUT.test(entry.name)) continue;
		const path = join(folder, entry.name);
		if (entry.isDirectory()) yield* textsIn(path);
		else if (entry.isFile() && TEXTS.test(entry.name)) yield path;
	}
}

/** `docs/x.md:7: "is no file": write "is not a …"`, in the order of the text. */
function faultsOf(name: string, text: string): string[] {
	return text.split("\n").flatMap((line, index) =>
		PATTERNS.flatMap(({ find, advice }) =>
			[...line.matchAll(find)].map((match) => {
				const shown = line.slice(match.index, match.index + 40).trim();
				return `${name}:${index + 1}: "${shown}": ${advice}`;
			}),
		),
	);
}

process.exitCode = main(process.argv[2] ?? fileURLToPath(new URL("..", import.meta.url)));
