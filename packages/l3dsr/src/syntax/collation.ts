/** The order in which a shell in the same environment sorts file names for `*.conf`. Pure. */

/** Compares two names; 0 only if they are equal. */
export type Collation = (a: string, b: string) => number;

/**
 * The collation selected by `LC_ALL`, `LC_COLLATE` or `LANG` (the first that is not empty). None, `C`, `POSIX` and
 * unknown locales sort by bytes.
 */
export function collationOf(env: Readonly<Record<string, string | undefined>>): Collation {
	const { LC_ALL, LC_COLLATE, LANG } = env;
	const locale = LC_ALL || LC_COLLATE || LANG || "C";
	// Of `de_DE.UTF-8@euro`, only language and territory matter.
	const tag = (locale.split(/[.@]/)[0] ?? "").replaceAll("_", "-");
	if (tag === "C" || tag === "POSIX" || !isKnown(tag)) return compareBytes;
	const collator = new Intl.Collator(tag);
	return (a, b) => collator.compare(a, b) || compareBytes(a, b);
}

function isKnown(tag: string): boolean {
	try {
		return Intl.Collator.supportedLocalesOf(tag).length > 0;
	} catch {
		return false; // not in the form of a language tag
	}
}

function compareBytes(a: string, b: string): number {
	return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
