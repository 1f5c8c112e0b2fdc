/** Quotes a word so that a shell reads it as the same word. */
export function shellWord(word: string): string {
	if (/^[\w@%+=:,./!-]+$/.test(word)) return word;
	// A line break in a word would split the output.
	if (/[\n\r\t]/.test(word))
		return `$'${word.replace(/[\\'\n\r\t]/g, (c) => JSON.stringify(c).slice(1, -1).replace('\\"', '"') || c)}'`;
	return `'${word.replaceAll("'", "'\\''")}'`;
}
