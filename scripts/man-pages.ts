/**
 * Writes the man pages below a directory, from docs/reference and the commands' own tables: man-pages.ts
 * DIRECTORY EPOCH. EPOCH (seconds since 1970) is their date.
 */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { VERSION } from "../packages/l3dsr/src/cli/package-version.ts";
import { definedSubcommands } from "./completion/commands.ts";
import { body, escapeRoff, fill, literal } from "./man/roff.ts";
import { DEFAULT_SECTIONS, inStandardOrder } from "./man/sections.ts";

interface Page {
	/** The first names the file, the others link to it. */
	readonly names: readonly [string, ...string[]];
	readonly section: 5 | 7 | 8;
	readonly source: string;
	readonly summary: string;
}

const PAGES: readonly Page[] = [
	{
		names: ["l3dsr"],
		section: 8,
		source: "l3dsr.md",
		summary: "Layer-3 Direct Server Return on real servers and directors",
	},
	{
		names: ["dsrctl"],
		section: 8,
		source: "dsrctl.md",
		summary: "start, stop and show the services of a real server",
	},
	{
		names: [
			"iptables-daddr",
			"ip6tables-daddr",
			"iptables-daddr-save",
			"ip6tables-daddr-save",
			"iptables-daddr-restore",
			"ip6tables-daddr-restore",
		],
		section: 8,
		source: "iptables-daddr.md",
		summary: "rules that rewrite the destination address",
	},
	{
		names: ["l3dsr-probe"],
		section: 8,
		source: "probe.md",
		summary: "does that real server answer from the VIP?",
	},
	{
		names: ["l3dsr-trace"],
		section: 8,
		source: "trace.md",
		summary: "what happens to this packet, rule by rule",
	},
	{
		names: ["l3dsr-watch"],
		section: 8,
		source: "watch.md",
		summary: "print every rewritten packet, live",
	},
	{
		names: ["l3dsr-export", "l3dsr-import"],
		section: 8,
		source: "export.md",
		summary: "print the table of VIPs in the formats of other programs, and read such formats",
	},
	{
		names: ["l3dsr.yaml"],
		section: 5,
		source: "l3dsr.yaml.md",
		summary: "what this host is, a real server or a director, for l3dsr(8)",
	},
	{
		names: ["fleet.yaml"],
		section: 5,
		source: "fleet.yaml.md",
		summary: "the VIPs, pools and codes of a fleet, for l3dsr(8)",
	},
	{
		names: ["dsr.conf"],
		section: 5,
		source: "dsr.conf.md",
		summary: "the services of a real server, for dsrctl(8)",
	},
	{
		names: ["l3dsr-capabilities"],
		section: 7,
		source: "capabilities.md",
		summary: "which capabilities each command of l3dsr needs",
	},
	{
		names: ["l3dsr-errors"],
		section: 7,
		source: "errors.md",
		summary: "every error code of l3dsr, dsrctl and iptables-daddr, its cause and its remedy",
	},
];

/** The synopsis of a page whose document begins with its commands. */
const SYNOPSIS = ["l3dsr [command] [options]", "l3dsr --version", "l3dsr [command] --help"];

async function main(directory: string, epoch: number): Promise<void> {
	const date = new Date(epoch * 1000).toISOString().slice(0, 10);
	const options = await subcommandOptions();
	for (const page of PAGES) {
		const folder = join(directory, `man${page.section}`);
		const [first, ...others] = page.names;
		mkdirSync(folder, { recursive: true });
		writeFileSync(
			join(folder, `${first}.${page.section}`),
			render(page, date, page.source === "l3dsr.md" ? options : []),
		);
		// The pages are compressed when they are installed, so the links lead to the compressed names.
		for (const other of others) {
			symlinkSync(`${first}.${page.section}.gz`, join(folder, `${other}.${page.section}.gz`));
		}
	}
}

function render(page: Page, date: string, options: readonly string[]): string {
	// Packages build from the root of the source tree.
	const lines = readFileSync(join("docs/reference", page.source), "utf8").split("\n").slice(1);
	const firstSection = lines.findIndex((line) => line.startsWith("## "));
	const lead = firstSection < 0 ? lines : lines.slice(0, firstSection);
	const [synopsis, description] = takeSynopsis(lead);
	const [first] = page.names;
	const sections = firstSection < 0 ? [] : lines.slice(firstSection);
	const { own, standard } = inStandardOrder(sections, DEFAULT_SECTIONS[page.source] ?? {});
	return `${[
		"'\\\" t",
		`.TH ${escapeRoff(first.toUpperCase())} ${page.section} ${date} "l3dsr ${VERSION}"`,
		".SH NAME",
		`${page.names.map((name) => escapeRoff(name)).join(",\n")} \\-\n${escapeRoff(page.summary)}`,
		...(page.section === 8 ? [".SH SYNOPSIS", literal(synopsis.length === 0 ? SYNOPSIS : synopsis)] : []),
		".SH DESCRIPTION",
		body(description),
		body(own),
		...options,
		body(standard),
	].join("\n")}\n`;
}

/**
 * The first block of plain text before any heading, indented or fenced, is the synopsis: not a console
 * session, not a file.
 */
function takeSynopsis(
	lead: readonly string[],
): readonly [synopsis: readonly string[], rest: readonly string[]] {
	for (let start = 0; start < lead.length; start++) {
		const line = lead[start] ?? "";
		if (line.startsWith("```")) {
			const end = lead.indexOf("```", start + 1);
			if (line === "```" || line === "```text") {
				return [lead.slice(start + 1, end), [...lead.slice(0, start), ...lead.slice(end + 1)]];
			}
			start = end;
		} else if (line.startsWith("    ")) {
			let end = start;
			while ((lead[end] ?? "").startsWith("    ")) end++;
			return [
				lead.slice(start, end).map((indented) => indented.slice(4)),
				[...lead.slice(0, start), ...lead.slice(end)],
			];
		}
	}
	return [[], lead];
}

/**
 * The options of `l3dsr COMMAND --help` for every command, so the page has them even if its prose leaves some
 * out.
 */
async function subcommandOptions(): Promise<readonly string[]> {
	const out: string[] = [".SH OPTIONS OF EACH COMMAND"];
	for (const command of await definedSubcommands()) {
		const operands = command.registeredArguments.map((argument) => {
			const name = argument.variadic ? `${argument.name()}...` : argument.name();
			return argument.required ? ` ${name}` : ` [${name}]`;
		});
		out.push(
			`.SS l3dsr ${escapeRoff(`${command.name()}${operands.join("")}`)}`,
			fill(sentence(command.description())),
		);
		for (const argument of command.registeredArguments) {
			if (argument.description !== "")
				out.push(`.TP\n\\fI${escapeRoff(argument.name())}\\fR`, fill(argument.description));
		}
		for (const option of command.options) {
			if (option.hidden) continue;
			const standard = option.defaultValue === undefined ? "" : ` (default ${String(option.defaultValue)})`;
			const choices = option.argChoices === undefined ? "" : `: ${option.argChoices.join(", ")}`;
			out.push(`.TP\n\\fB${escapeRoff(option.flags)}\\fR`, fill(option.description + choices + standard));
		}
	}
	return out;
}

function sentence(text: string): string {
	const capital = text.charAt(0).toUpperCase() + text.slice(1);
	return /[.?!]$/.test(capital) ? capital : `${capital}.`;
}

const [directory, epoch] = process.argv.slice(2);
if (directory === undefined || epoch === undefined) throw new Error("usage: man-pages.ts DIRECTORY EPOCH");
void main(directory, Number(epoch));
