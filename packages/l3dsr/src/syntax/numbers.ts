/**
 * Parses whole numbers in the spellings of this product's sources. Each spelling has its own parser, because the same
 * text can be another number in another source, or none: 010 is eight to strtoul(3) and ten to a person.
 */

/**
 * As strtoul(3) reads it with base 0, like iptables and dsrctl: decimal, 0 octal, 0x hex, without a sign; else
 * undefined.
 */
export function parseStrtoul(text: string): number | undefined {
	if (/^0x[0-9a-f]+$/i.test(text)) return Number.parseInt(text.slice(2), 16);
	if (/^0[0-7]*$/.test(text)) return Number.parseInt(text, 8);
	if (/^[1-9][0-9]*$/.test(text)) return Number(text);
	return undefined;
}

/** In YAML files: decimal, 0x or 0o. Undefined for anything else, including a leading zero, which is ambiguous. */
export function parseYamlNumber(text: string): number | undefined {
	return /^(0|[1-9][0-9]{0,14}|0x[0-9a-fA-F]{1,12}|0o[0-7]{1,12})$/.test(text) ? Number(text) : undefined;
}

/** Only decimal digits, up to fifteen: counts, prefix lengths, seconds for `-w`; else undefined. */
export function parseDecimal(text: string): number | undefined {
	return /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}
