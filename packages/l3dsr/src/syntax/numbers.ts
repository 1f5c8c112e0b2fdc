/**
 * Whole numbers as the sources of this product spell them. Each spelling has one parser, for a number that one of
 * them takes is another number to the next, or none: 010 is eight to strtoul(3) and ten to a person.
 */

/** As strtoul(3) reads it with base 0, which iptables and dsrctl do: decimal, 0 octal, 0x hex; no sign, else undefined. */
export function parseStrtoul(text: string): number | undefined {
	if (/^0x[0-9a-f]+$/i.test(text)) return Number.parseInt(text.slice(2), 16);
	if (/^0[0-7]*$/.test(text)) return Number.parseInt(text, 8);
	if (/^[1-9][0-9]*$/.test(text)) return Number(text);
	return undefined;
}

/** In YAML files: decimal, 0x or 0o; undefined for anything else, a leading zero too, which could be meant as either. */
export function parseYamlNumber(text: string): number | undefined {
	return /^(0|[1-9][0-9]{0,14}|0x[0-9a-fA-F]{1,12}|0o[0-7]{1,12})$/.test(text) ? Number(text) : undefined;
}

/** Decimal digits alone, up to fifteen: counts, lengths of prefixes, seconds of `-w`; else undefined. */
export function parseDecimal(text: string): number | undefined {
	return /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}
