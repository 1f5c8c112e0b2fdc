/**
 * The sections that every page of a command has, man-pages(7), in Markdown: for pages whose document lacks
 * them.
 */

/** In this order, after everything else. */
const STANDARD_SECTIONS = ["Exit status", "Environment", "Files", "See also"] as const;

export type StandardSection = (typeof STANDARD_SECTIONS)[number];

/** Headings in the documents that mean one of these. */
const ALSO_CALLED: Readonly<Record<string, StandardSection>> = { "Exit codes": "Exit status" };

const L3DSR_EXIT = [
	"| code | |",
	"|---|---|",
	"| 0 | done |",
	"| 1 | failed |",
	"| 2 | bad usage, or a configuration or file with faults |",
	"| 3 | not supported on this kernel |",
	"| 4 | `diff`: drift found |",
];

const ENVIRONMENT = [
	"| variable | |",
	"|---|---|",
	"| `L3DSR_DATAPATH` | `auto` (the default), `ebpf` or `nft` |",
	"| `L3DSR_HOOK` | where eBPF programs are attached: `auto` (the default), `tc`, `tcx`, `clsact`, `xdp` or `xdp-generic` |",
	"| `L3DSR_OPEN_CHECKSUMS` | `refuse` (the default) or `accept` |",
	"",
	"[l3dsr](l3dsr.md) explains them.",
];

const OUTPUT_ENVIRONMENT = ["| variable | |", "|---|---|", "| `NO_COLOR` | set to any text: no colors |"];

const LOCK = "| `/run/l3dsr.N.lock` | held while rules change; one for each network namespace |";

const SETTINGS =
	"| `/etc/l3dsr/l3dsr.yaml` | where there is one: its `datapath`, `hook` and `open-checksums` hold here too |";

const RULES_FILES = ["| file | |", "|---|---|", "| `/etc/services` | names of ports |", SETTINGS, LOCK];

const SERVICES_FILES = [
	"| file | |",
	"|---|---|",
	"| `/etc/l3dsr/l3dsr.yaml` | the configuration, unless `-c` names another |",
	"| `/usr/share/doc/l3dsr/examples` | configurations to begin with |",
];

/** Maps documents to the sections that they leave out. */
export const DEFAULT_SECTIONS: Readonly<Record<string, Partial<Record<StandardSection, readonly string[]>>>> =
	{
		"l3dsr.md": {
			"Exit status": L3DSR_EXIT,
			"See also": [
				"[l3dsr.yaml](l3dsr.yaml.md), [probe](probe.md), [trace](trace.md), [watch](watch.md), [export](export.md),",
				"[iptables-daddr](iptables-daddr.md), [dsrctl](dsrctl.md), [errors](errors.md)",
			],
		},
		"dsrctl.md": { Environment: ENVIRONMENT },
		"iptables-daddr.md": {
			"Exit status": [
				"| code | |",
				"|---|---|",
				"| 0 | done |",
				"| 1 | failed; `-C`: there is no such rule |",
				"| 2 | a command line or a file with faults |",
				"| 3 | there is no such table |",
				"| 4 | another program holds the lock |",
			],
			Environment: ENVIRONMENT,
			Files: RULES_FILES,
			"See also": ["[l3dsr](l3dsr.md), [dsrctl](dsrctl.md), [errors](errors.md), **iptables**(8)"],
		},
		"probe.md": {
			Environment: OUTPUT_ENVIRONMENT,
			Files: SERVICES_FILES,
			"See also": ["[l3dsr](l3dsr.md), [trace](trace.md), [watch](watch.md), [errors](errors.md)"],
		},
		"trace.md": {
			"Exit status": L3DSR_EXIT.slice(0, 5),
			Environment: OUTPUT_ENVIRONMENT,
			Files: SERVICES_FILES,
			"See also": [
				"[l3dsr](l3dsr.md), [probe](probe.md), [watch](watch.md), [errors](errors.md), **pcap**(3)",
			],
		},
		"watch.md": {
			"Exit status": L3DSR_EXIT.slice(0, 6),
			Environment: OUTPUT_ENVIRONMENT,
			Files: ["The running rules are read from the kernel; no file is read or written."],
			"See also": ["[l3dsr](l3dsr.md), [trace](trace.md), [probe](probe.md), [errors](errors.md)"],
		},
		"export.md": {
			"Exit status": L3DSR_EXIT.slice(0, 5),
			Environment: OUTPUT_ENVIRONMENT,
			Files: SERVICES_FILES,
			"See also": [
				"[l3dsr](l3dsr.md), [l3dsr.yaml](l3dsr.yaml.md), [dsr.conf](dsr.conf.md), [errors](errors.md)",
			],
		},
		"l3dsr.yaml.md": {
			Files: SERVICES_FILES,
			"See also": ["[l3dsr](l3dsr.md), [dsr.conf](dsr.conf.md), [errors](errors.md)"],
		},
		"capabilities.md": {
			"See also": ["[l3dsr](l3dsr.md), [errors](errors.md), **capabilities**(7), **user_namespaces**(7)"],
		},
		"errors.md": {
			"See also": ["[l3dsr](l3dsr.md), [iptables-daddr](iptables-daddr.md), [dsrctl](dsrctl.md)"],
		},
	};

/**
 * `lines` from the first heading on, with the standard sections last and in their order, including those of
 * `defaults`.
 */
export function inStandardOrder(
	lines: readonly string[],
	defaults: Partial<Record<StandardSection, readonly string[]>>,
): { readonly own: readonly string[]; readonly standard: readonly string[] } {
	const own: string[] = [];
	const standard = new Map<StandardSection, readonly string[]>();
	for (const section of sectionsOf(lines)) {
		const [heading = "", ...rest] = section;
		const title = heading.replace(/^## /, "");
		const name =
			ALSO_CALLED[title] ?? STANDARD_SECTIONS.find((one) => one.toLowerCase() === title.toLowerCase());
		if (name === undefined) own.push(...section);
		else standard.set(name, rest);
	}
	const ordered = STANDARD_SECTIONS.flatMap((name) => {
		const text = standard.get(name) ?? defaults[name];
		return text === undefined ? [] : [`## ${name}`, "", ...text, ""];
	});
	return { own, standard: ordered };
}

/** Splits at headings of the second level, except in code. */
function sectionsOf(lines: readonly string[]): string[][] {
	const sections: string[][] = [];
	let code = false;
	for (const line of lines) {
		if (line.startsWith("```")) code = !code;
		if (!code && line.startsWith("## ")) sections.push([]);
		sections.at(-1)?.push(line);
	}
	return sections;
}
