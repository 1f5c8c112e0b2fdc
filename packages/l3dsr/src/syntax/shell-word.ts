/** A word as it is typed at a shell, so that the shell reads it back as that word. */
export function shellWord(word: string): string {
	if (/^[\w@%+=:,./!-]+$/.test(word)) return word;
	// A line break inside a word would tear what is printed apart.
	if (/[\n\r\t]/.test(word))
		return `$'${word.replace(/[\\'\n\r\t]/g, (c) => JSON.stringify(c).slice(1, -1).replace('\\"', '"') || c)}'`;
	return `'${word.replaceAll("'", "'\\''")}'`;
}
