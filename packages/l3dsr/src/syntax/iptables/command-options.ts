/** The options of the commands themselves, besides those of rules: the table for parser, help and completion. */
import type { OptionSpec } from "./option.ts";

/** What the command does; exactly one of them. */
export const COMMAND_OPTIONS = {
	append: { long: ["append"], short: "A", argument: "chain", help: "append to chain" },
	check: { long: ["check"], short: "C", argument: "chain", help: "check for the existence of a rule" },
	delete: {
		long: ["delete"],
		short: "D",
		argument: "chain [rulenum]",
		help: "delete the matching rule, or rule rulenum (1 = first)",
	},
	insert: {
		long: ["insert"],
		short: "I",
		argument: "chain [rulenum]",
		help: "insert in chain as rulenum (default 1 = first)",
	},
	replace: {
		long: ["replace"],
		short: "R",
		argument: "chain rulenum",
		help: "replace rule rulenum (1 = first) in chain",
	},
	list: {
		long: ["list"],
		short: "L",
		argument: "[chain [rulenum]]",
		optional: "attached",
		help: "list the rules in a chain or all chains",
	},
	"list-rules": {
		long: ["list-rules"],
		short: "S",
		argument: "[chain [rulenum]]",
		optional: "attached",
		help: "print the rules in a chain or all chains",
	},
	flush: {
		long: ["flush"],
		short: "F",
		argument: "[chain]",
		optional: "attached",
		help: "delete all rules in a chain or all chains",
	},
	zero: {
		long: ["zero"],
		short: "Z",
		argument: "[chain [rulenum]]",
		optional: "attached",
		help: "zero counters in a chain or all chains",
	},
	policy: {
		long: ["policy"],
		short: "P",
		argument: "chain target",
		help: "nothing: the policy is always ACCEPT, the only target accepted",
	},
	"delete-chain": {
		long: ["delete-chain"],
		short: "X",
		argument: "[chain]",
		optional: "attached",
		help: "nothing: there are no user-defined chains to delete",
	},
	help: {
		long: ["help"],
		short: "h",
		argument: "[match]",
		optional: "attached",
		help: "print this help",
	},
	version: { long: ["version"], short: "V", help: "print the version" },
} as const satisfies Record<string, OptionSpec>;

export type CommandName = keyof typeof COMMAND_OPTIONS;

/** How the command does it. */
export const MODE_OPTIONS = {
	table: { long: ["table"], short: "t", argument: "table", help: "table: raw (default) or mangle" },
	numeric: { long: ["numeric"], short: "n", help: "numeric output of addresses and ports" },
	verbose: { long: ["verbose"], short: "v", help: "verbose mode: counters and interfaces" },
	exact: { long: ["exact"], short: "x", help: "exact counters, not rounded to K, M, G" },
	lineNumbers: { long: ["line-numbers"], short: "0", help: "print rule numbers when listing" },
	setCounters: {
		long: ["set-counters"],
		short: "c",
		argument: "PKTS BYTES",
		help: "set the counters of the rule (-A, -I, -R)",
	},
	wait: {
		long: ["wait"],
		short: "w",
		argument: "[seconds]",
		optional: "attached",
		help: "wait for the lock (for ever, or for this many seconds) instead of failing at once",
	},
	waitInterval: {
		long: ["wait-interval"],
		short: "W",
		argument: "usecs",
		help: "accepted and ignored, as in iptables 1.8.9",
	},
	modprobe: {
		long: ["modprobe"],
		short: "M",
		argument: "command",
		help: "accepted and ignored: no kernel module is loaded",
	},
	ipv4: {
		long: ["ipv4"],
		short: "4",
		help: "nothing in iptables-daddr; a restore line for ip6tables is skipped",
	},
	ipv6: {
		long: ["ipv6"],
		short: "6",
		help: "nothing in ip6tables-daddr; a restore line for iptables is skipped",
	},
} as const satisfies Record<string, OptionSpec>;

export type ModeName = keyof typeof MODE_OPTIONS;

/** Commands of iptables that do not exist here: letter and long name → the reason, and what to do instead. */
export const OTHER_COMMANDS: Readonly<Record<string, string>> = {
	"-N": "rules are only in the built-in chains",
	"--new-chain": "rules are only in the built-in chains",
	"-E": "there are no user-defined chains",
	"--rename-chain": "there are no user-defined chains",
};

/** iptables-daddr-save. */
export const SAVE_OPTIONS = {
	counters: { long: ["counters"], short: "c", help: "print counters too" },
	table: { long: ["table"], short: "t", argument: "table", help: "this table only" },
	file: { long: ["file"], short: "f", argument: "filename", help: "write to this file" },
	modprobe: MODE_OPTIONS.modprobe,
	ipv4: { long: ["ipv4"], short: "4", help: "the rules of iptables-daddr" },
	ipv6: { long: ["ipv6"], short: "6", help: "the rules of ip6tables-daddr" },
	help: { long: ["help"], short: "h", help: "print this help" },
	version: { long: ["version"], short: "V", help: "print the version" },
} as const satisfies Record<string, OptionSpec>;

/** iptables-daddr-restore. */
export const RESTORE_OPTIONS = {
	counters: { long: ["counters"], short: "c", help: "restore the counters in the file" },
	noflush: { long: ["noflush"], short: "n", help: "keep the existing rules" },
	test: { long: ["test"], short: "t", help: "read and check the file, change nothing" },
	table: { long: ["table"], short: "T", argument: "table", help: "restore only this table of the file" },
	verbose: { long: ["verbose"], short: "v", help: "say what is done" },
	wait: MODE_OPTIONS.wait,
	waitInterval: MODE_OPTIONS.waitInterval,
	modprobe: MODE_OPTIONS.modprobe,
	ipv4: { long: ["ipv4"], short: "4", help: "the rules of iptables-daddr" },
	ipv6: { long: ["ipv6"], short: "6", help: "the rules of ip6tables-daddr" },
	help: { long: ["help"], short: "h", help: "print this help" },
	version: { long: ["version"], short: "V", help: "print the version" },
} as const satisfies Record<string, OptionSpec>;
