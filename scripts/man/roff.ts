/**
 * Converts Markdown, as the pages of docs/reference use it, to man(7): headings, paragraphs, lists, tables,
 * code, links, emphasis. It refuses anything else, so that no part of a page is missing.
 */

import { basename, join } from "node:path/posix";

/** Converts text with inline markup to roff. */
export function inline(text: string): string {
	let roff = "";
	for (const part of text.split(/(`[^`]+`|\*\*[^*]+\*\*|\*[A-Za-z][^*]*\*|\[[^\]]+\]\([^)]+\))/)) {
		if (part.startsWith("`")) roff += `\\fB${escapeRoff(part.slice(1, -1))}\\fR`;
		else if (part.startsWith("**")) roff += `\\fB${escapeRoff(part.slice(2, -2))}\\fR`;
		else if (/^\*[A-Za-z][^*]*\*$/.test(part)) roff += `\\fI${escapeRoff(part.slice(1, -1))}\\fR`;
		else {
			const link = /^\[([^\]]+)\]\(([^)]+)\)$/.exec(part);
			roff += link === null ? escapeRoff(part) : reference(link[1] ?? "", link[2] ?? "");
		}
	}
	return roff;
}

/**
 * A link to a page of the manual becomes that page's name, behind its text if that says something else; a link to
 * another document becomes its text and its installed path.
 */
function reference(text: string, target: string): string {
	const [file = ""] = target.split("#");
	if (file === "" || file.includes("://")) return inline(text);
	const page = PAGES_BY_FILE[file];
	if (page !== undefined) {
		const name = `\\fB${escapeRoff(page.name)}\\fR(${page.section})`;
		const names = [page.name, file, basename(file, ".md")];
		return names.includes(text.replace(/^l3dsr (?=\w)/, "")) ? name : `${inline(text)} (${name})`;
	}
	const path = `\\fI${escapeRoff(join(INSTALLED, file))}\\fR`;
	return text === basename(file) ? path : `${inline(text)} (${path})`;
}

/** Where the package installs the pages of docs/reference. */
const INSTALLED = "/usr/share/doc/l3dsr/docs/reference";

const PAGES_BY_FILE: Readonly<Record<string, { readonly name: string; readonly section: number }>> = {
	"l3dsr.md": { name: "l3dsr", section: 8 },
	"dsrctl.md": { name: "dsrctl", section: 8 },
	"iptables-daddr.md": { name: "iptables-daddr", section: 8 },
	"probe.md": { name: "l3dsr-probe", section: 8 },
	"trace.md": { name: "l3dsr-trace", section: 8 },
	"watch.md": { name: "l3dsr-watch", section: 8 },
	"export.md": { name: "l3dsr-export", section: 8 },
	"capabilities.md": { name: "l3dsr-capabilities", section: 7 },
	"errors.md": { name: "l3dsr-errors", section: 7 },
	"l3dsr.yaml.md": { name: "l3dsr.yaml", section: 5 },
	"fleet.yaml.md": { name: "fleet.yaml", section: 5 },
	"dsr.conf.md": { name: "dsr.conf", section: 5 },
};

/**
 * Converts plain text to roff: escapes roff's own characters and everything that is not ASCII. In locale C,
 * groff approximates every character that the pages use, except the ellipsis.
 */
export function escapeRoff(text: string): string {
	return text
		.replaceAll("…", "...")
		.replaceAll("\\", "\\e")
		.replaceAll("-", "\\-")
		.replace(/[^\n -~]/gu, (character) => {
			return `\\[u${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}]`;
		});
}

/** Filled text, with lines that are not long and do not begin like a request. */
export function fill(text: string): string {
	const lines: string[] = [];
	let line = "";
	for (const word of inline(text.replace(/\s+/g, " ").trim()).split(" ")) {
		if (line !== "" && line.length + word.length + 1 > 78) {
			lines.push(line);
			line = word;
		} else line = line === "" ? word : `${line} ${word}`;
	}
	lines.push(line);
	return lines.map(guard).join("\n");
}

function guard(line: string): string {
	return /^[.']/.test(line) ? `\\&${line}` : line;
}

/** Text that is printed unchanged. */
export function literal(lines: readonly string[]): string {
	const shown = lines.map((line) => guard(escapeRoff(line.replaceAll("\t", "        ").trimEnd())));
	return [".RS 4", ".nf", ...shown, ".fi", ".RE"].join("\n");
}

/** The body of a page. */
export function body(markdown: readonly string[]): string {
	const out: string[] = [];
	let index = 0;
	const next = () => markdown[index] ?? "";
	const takeWhile = (wanted: (line: string) => boolean): string[] => {
		const taken: string[] = [];
		while (index < markdown.length && wanted(next())) {
			taken.push(next());
			index++;
		}
		return taken;
	};
	let afterHeading = true;
	while (index < markdown.length) {
		const line = next();
		// A heading adds its own space, and so do lists.
		const space = afterHeading ? [] : [".PP"];
		const heading = /^(##+) (.*)$/.exec(line);
		if (line.trim() === "") {
			index++;
			continue;
		}
		if (heading !== null) {
			index++;
			const title = heading[2] ?? "";
			out.push(heading[1] === "##" ? sectionHeading(title) : `.SS ${inline(title)}`);
			afterHeading = true;
			continue;
		}
		if (line.startsWith("<!--")) {
			takeWhile((comment) => comment.trim() !== "");
		} else if (line.startsWith("```")) {
			index++;
			out.push(...space, literal(takeWhile((code) => !code.startsWith("```"))));
			index++;
		} else if (line.startsWith("    ")) {
			out.push(...space, literal(takeWhile((code) => code.startsWith("    ")).map((code) => code.slice(4))));
		} else if (line.startsWith("|")) {
			const rows = table(takeWhile((row) => row.startsWith("|")));
			out.push(...(rows.startsWith(".TP") ? [] : space), rows);
		} else if (/^- /.test(line)) {
			const items: string[] = [];
			for (const text of takeWhile((item) => /^(- |\s+\S)/.test(item))) {
				if (text.startsWith("- ")) items.push(text.slice(2));
				else items.push(`${items.pop() ?? ""} ${text.trim()}`);
			}
			out.push(items.map((item) => `.IP \\[bu] 2\n${fill(item)}`).join("\n"));
		} else {
			const text = takeWhile((other) => other.trim() !== "" && !/^(\||```|- |#)/.test(other)).join(" ");
			out.push(...space, fill(text));
		}
		afterHeading = false;
	}
	return out.join("\n");
}

/** In capitals, by convention; but a command line keeps its letters, because `-n` is not `-N`. */
function sectionHeading(title: string): string {
	return `.SH ${inline(/\[-|`/.test(title) ? title : title.toUpperCase())}`;
}

/** Two columns become a list of terms, more become a table for tbl(1). */
function table(rows: readonly string[]): string {
	const [header = [], , ...cells] = rows.map((row) =>
		row
			.replace(/^\||\|$/g, "")
			.split(/(?<!\\)\|/)
			.map((cell) => cell.trim().replaceAll("\\|", "|")),
	);
	if (header.length === 2) {
		return cells.map(([term = "", text = ""]) => `.TP\n${guard(inline(term))}\n${fill(text)}`).join("\n");
	}
	const widest = (column: number) => Math.max(...cells.map((row) => (row[column] ?? "").length));
	// The last columns share the width that the first leaves: text is wrapped if it does not fit, but names
	// in front are not.
	const broken = header.map(
		(_, column) =>
			widest(column) > 16 && (column > 0 || cells.some((row) => (row[column] ?? "").includes(" "))),
	);
	const shown = (cell: string, column: number): string =>
		cell === "" ? "" : broken[column] ? `T{\n.ad l\n${fill(cell)}\nT}` : guard(inline(cell));
	return [
		".TS",
		`${header.map(() => "lb").join(" ")}`,
		`${broken.map((breaks) => (breaks ? "lx" : "l")).join(" ")}.`,
		header.map((cell) => inline(cell)).join("\t"),
		...cells.map((row) => row.map(shown).join("\t")),
		".TE",
	].join("\n");
}
