/** dsrctl's command line, read as getopts(1) does: `-ai`, `-sfoo`, `-s foo`, `--`; options end at the action. */

/** What each action does. Usage, man page and completion are generated from this and OPTIONS. */
export const ACTIONS = {
	check: "Print whether all, some or none of the configured DSRs are started.",
	restart: "Stop, then start.",
	start: "Start the configured DSRs: a rule in PREROUTING and the VIP on lo.",
	status: "Print a table of the configured DSRs.",
	stop: "Stop the configured DSRs.",
} as const;
export type Action = keyof typeof ACTIONS;

const DEFAULT_DIRECTORY = "/etc/dsr.d";

export interface DsrctlCommand {
	readonly kind: "run";
	readonly action: Action;
	readonly directory: string;
	/** One file; the directory is then ignored. */
	readonly file?: string;
	/** `-a`: also what is not configured. */
	readonly discovered: boolean;
	/** `-i`: rules at the top of the chain. */
	readonly insert: boolean;
	/** `-n`: change nothing. */
	readonly dryRun: boolean;
	/** How often `-v` was given. */
	readonly verbosity: number;
	/** Not with `-x`. */
	readonly header: boolean;
}

export type CommandLine =
	| DsrctlCommand
	| { readonly kind: "usage" }
	| { readonly kind: "version" }
	/** `message` is for stderr. */
	| { readonly kind: "bad"; readonly message: string };

interface DsrctlOption {
	readonly argument?: string;
	readonly help: string;
}

export const OPTIONS: Readonly<Record<string, DsrctlOption>> = {
	a: { help: "Also the discovered DSRs, addresses and rules (status, stop)." },
	d: {
		argument: "dir",
		help: `Directory of the configuration files, *.conf (default ${DEFAULT_DIRECTORY}).`,
	},
	f: { argument: "file", help: "Read this configuration file only." },
	h: { help: "Print this help." },
	i: { help: "Insert rules at the top of the chain instead of appending them." },
	k: { help: "Accepted and ignored: there is no kernel module to keep." },
	n: { help: "Do nothing; with -v, print what would be done." },
	s: { argument: "init:loop", help: "Accepted and ignored: there is no kernel module to wait for." },
	v: { help: "Print each step; twice: also the files that are read." },
	x: { help: "No header above the table." },
};

/** Two numbers of seconds. */
const SLEEP = /^(\d+\.?\d*|\.\d+):(\d+\.?\d*|\.\d+)$/;

export function usage(programName: string): string {
	const options = Object.entries(OPTIONS).map(([letter, { argument, help }]) => {
		return [argument === undefined ? `-${letter}` : `-${letter} ${argument}`, help] as const;
	});
	return `Usage: ${programName} [-d dir] [-f file] [-ahiknvx] [-s init:loop] action

Starts, stops and shows the DSRs (VIPs, and the DSCPs that stand for them) of this host.

Actions:
${lines(Object.entries(ACTIONS), 8)}
Options:
${lines(options, 13)}`;
}

function lines(rows: readonly (readonly [name: string, help: string])[], width: number): string {
	return rows.map(([name, help]) => `  ${name.padEnd(width)} ${help}\n`).join("");
}

export function parseArguments(programName: string, argv: readonly string[]): CommandLine {
	const given = new Map<string, string>();
	let verbosity = 0;
	let index = 0;
	for (; index < argv.length; index++) {
		const word = argv[index] ?? "";
		if (word === "--") {
			index++;
			break;
		}
		if (word === "--help") return { kind: "usage" };
		if (word === "--version") return { kind: "version" };
		if (word === "-" || !word.startsWith("-")) break;
		if (word.startsWith("--")) return unknownOption(programName, word);
		for (let at = 1; at < word.length; at++) {
			const letter = word.charAt(at);
			if (letter === "h") return { kind: "usage" };
			if (letter === "v") verbosity++;
			const option = Object.hasOwn(OPTIONS, letter) ? OPTIONS[letter] : undefined;
			if (option === undefined) return unknownOption(programName, `-${letter}`);
			if (option.argument === undefined) {
				given.set(letter, "");
				continue;
			}
			const joined = word.slice(at + 1);
			const value = joined === "" ? argv[++index] : joined;
			if (value === undefined) return bad(`${programName}: -${letter}: argument expected`);
			if (letter === "s" && !SLEEP.test(value)) return bad(`Invalid sleep argument (${value}).`);
			given.set(letter, value);
			break;
		}
	}
	const [action, extra] = argv.slice(index);
	if (action === undefined) return bad("Missing action argument.");
	if (!isAction(action)) return bad(`Invalid action provided (${action}).`);
	// An option after the action was meant to apply: `stop -n` must not stop anything.
	if (extra !== undefined) return bad(`Unexpected argument after ${action} (${extra}).`);
	const file = given.get("f");
	return {
		kind: "run",
		action,
		directory: given.get("d") ?? DEFAULT_DIRECTORY,
		...(file === undefined ? {} : { file }),
		discovered: given.has("a"),
		insert: given.has("i"),
		dryRun: given.has("n"),
		verbosity,
		header: !given.has("x"),
	};
}

function isAction(text: string): text is Action {
	return Object.hasOwn(ACTIONS, text);
}

function unknownOption(programName: string, option: string): CommandLine {
	return bad(`${programName}: ${option}: unknown option`);
}

function bad(message: string): CommandLine {
	return { kind: "bad", message };
}
