/** Describes the faults that a zod schema finds in a document, each at its position. */
import { isScalar } from "yaml";
import type * as z from "zod/mini";
import { didYouMean } from "../suggest.ts";
import type { ConfigDocument } from "./document.ts";

/** How to describe a file to its author. */
export interface FileShape {
	/** Name of the whole file: `the configuration`. */
	readonly name: string;
	/** Name of the mapping at a path, such as `a service`, and its keys. */
	readonly mappingAt: (path: readonly (string | number)[]) => {
		readonly name: string;
		readonly keys: readonly string[];
	};
	/** The key that the author probably meant by an unknown key with this value, if the nearest key is not it. */
	readonly meantBy?: (key: string, value: string) => string | undefined;
	/** Keys whose single value read-value.ts checks, with better messages than a schema's. */
	readonly singleValues: ReadonlySet<string>;
	/** Keys whose value, or each value of a list, read-value.ts checks. */
	readonly listValues: ReadonlySet<string>;
}

export function reportIssues(
	document: ConfigDocument,
	issues: readonly z.core.$ZodIssue[],
	shape: FileShape,
): void {
	for (const issue of issues) reportIssue(document, issue, shape);
}

function reportIssue(document: ConfigDocument, issue: z.core.$ZodIssue, file: FileShape): void {
	const path = issue.path.filter((key) => typeof key !== "symbol");
	if (issue.code === "unrecognized_keys") {
		const { name, keys } = file.mappingAt(path);
		for (const key of issue.keys) {
			const value = document.scalars([...path, key])[0]?.text ?? "";
			const hint = file.meantBy?.(key, value) ?? didYouMean(key, keys) ?? `keys here are ${keys.join(", ")}`;
			document.report("CONFIG_UNKNOWN_KEY", `${name} has no key ${key}`, document.placeOfKey(path, key), {
				hint,
			});
		}
		return;
	}
	const key = path.findLast((part) => typeof part === "string");
	const shape = document.shape(path);
	if (key !== undefined && file.singleValues.has(key) && shape === "scalar") return;
	if (key !== undefined && file.listValues.has(key) && (shape === "scalar" || shape === "scalars")) return;
	const what = path.length === 0 ? file.name : typeof path.at(-1) === "number" ? `an entry of ${key}` : key;
	if (document.at(path) === undefined) {
		document.report("CONFIG_MISSING", `${what} is missing`, document.place(path.slice(0, -1)));
	} else if (issue.code === "invalid_value") {
		const allowed = issue.values.map(String);
		const text = shape === "scalar" ? document.scalars(path)[0]?.text : undefined;
		const hint = text === undefined ? undefined : didYouMean(text, allowed);
		document.report(
			"CONFIG_BAD_VALUE",
			`${what} cannot be ${text === undefined ? "that" : `"${text}"`}, expected ${allowed.join(", ")}`,
			document.place(path),
			hint === undefined ? {} : { hint },
		);
	} else if (issue.code === "invalid_key") {
		document.report(
			"CONFIG_BAD_VALUE",
			`"${key}" is not a valid name, expected up to 63 letters, digits, ".", "_", ":" or "-"`,
			document.placeOfKey(path.slice(0, -1), String(key)),
		);
	} else {
		const takesList = key !== undefined && file.listValues.has(key);
		document.report(
			"CONFIG_BAD_VALUE",
			isEmpty(document, path)
				? `${what} is empty${takesList ? ", expected a value or a list of values" : expected(issue)}`
				: `${what} has the wrong form${takesList ? ", expected a value or a list of values" : expected(issue)}`,
			document.place(path),
		);
	}
}

function isEmpty(document: ConfigDocument, path: readonly (string | number)[]): boolean {
	const node = document.at(path);
	if (isScalar(node)) return node.value === null || node.value === "";
	return document.count(path) === 0 && document.keys(path).length === 0;
}

const EXPECTED: Readonly<Record<string, string>> = {
	object: "a mapping of keys",
	record: "a mapping of keys",
	array: "a list (each entry begins with -, or [a, b])",
	string: "a text",
	boolean: "true or false",
};

function expected(issue: z.core.$ZodIssue): string {
	switch (issue.code) {
		case "invalid_type":
			return `, expected ${EXPECTED[issue.expected] ?? `a ${issue.expected}`}`;
		case "too_small":
			return issue.origin === "string" ? "" : `, expected at least ${issue.minimum}`;
		case "too_big":
			return `, expected at most ${issue.maximum}`;
		default:
			return "";
	}
}
