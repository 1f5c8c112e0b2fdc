/** The order of file names that a shell in the same environment gives to `*.conf`. Pure. */

/** Compares two names; 0 only for equal ones. */
export type Collation = (a: string, b: string) => number;

/**
 * The collation that `LC_ALL`, `LC_COLLATE` or `LANG` (the first that is not empty) asks for: bytes for none,
 * `C`, `POSIX` and locales that nobody knows.
 */
export function collationOf(env: Readonly<Record<string, string | undefined>>): Collation {
	const { LC_ALL, LC_COLLATE, LANG } = env;
	const locale = LC_ALL || LC_COLLATE || LANG || "C";
	// `de_DE.UTF-8@euro`: language and territory decide.
	const tag = (locale.split(/[.@]/)[0] ?? "").replaceAll("_", "-");
	if (tag === "C" || tag === "POSIX" || !isKnown(tag)) return compareBytes;
	const collator = new Intl.Collator(tag);
	return (a, b) => collator.compare(a, b) || compareBytes(a, b);
}

function isKnown(tag: string): boolean {
	try {
		return Intl.Collator.supportedLocalesOf(tag).length > 0;
	} catch {
		return false; // not even the form of a language tag
	}
}

function compareBytes(a: string, b: string): number {
	return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
