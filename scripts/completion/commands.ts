/** The commands as completion sees them, from the tables that their parsers read. */

import { Writable } from "node:stream";
import { DSCP_CLASSES, PROTOCOL_NUMBER } from "@l3dsr/packet";
import { Command } from "commander";
import type { CliContext } from "../../packages/l3dsr/src/cli/context.ts";
import { ACTIONS, OPTIONS } from "../../packages/l3dsr/src/cli/dsrctl/arguments.ts";
import { FORMAT_NAMES } from "../../packages/l3dsr/src/cli/export/formats.ts";
import { SUBCOMMANDS } from "../../packages/l3dsr/src/cli/l3dsr.ts";
import { CHAINS } from "../../packages/l3dsr/src/model/rule.ts";
import {
	COMMAND_OPTIONS,
	MODE_OPTIONS,
	RESTORE_OPTIONS,
	SAVE_OPTIONS,
} from "../../packages/l3dsr/src/syntax/iptables/command-options.ts";
import { HEADER_OPTIONS } from "../../packages/l3dsr/src/syntax/iptables/header.ts";
import { modulesOf } from "../../packages/l3dsr/src/syntax/iptables/matches.ts";
import type { OptionSpec } from "../../packages/l3dsr/src/syntax/iptables/option.ts";
import { JUMP_OPTION, MATCH_OPTION } from "../../packages/l3dsr/src/syntax/iptables/rule-parser.ts";
import { TARGET_NAME, TARGET_OPTIONS } from "../../packages/l3dsr/src/syntax/iptables/target.ts";

/** The values allowed in a place: one of several words, a name that the shell can look up, or anything. */
export type Value =
	| { readonly kind: "words"; readonly words: readonly string[] }
	| { readonly kind: "file" | "directory" | "interface" | "netns" | "lab" | "real" | "free" };

export interface CompletedOption {
	/** With dashes: `-t`, `--table`. */
	readonly names: readonly string[];
	readonly help: string;
	/** Absent if it takes no argument; `optional` if the argument may be left out. */
	readonly argument?: { readonly name: string; readonly value: Value; readonly optional: boolean };
}

export interface CompletedCommand {
	readonly name: string;
	readonly summary: string;
	readonly options: readonly CompletedOption[];
	/** The kind of its operands; absent if it has none. */
	readonly operand?: { readonly name: string; readonly value: Value };
	readonly subcommands: readonly CompletedCommand[];
}

const FREE: Value = { kind: "free" };
const words = (list: readonly string[]): Value => ({ kind: "words", words: list });

export async function completedCommands(): Promise<readonly CompletedCommand[]> {
	return [await l3dsr(), dsrctl(), ...iptables("ipv4"), ...iptables("ipv6")];
}

/** The subcommands of l3dsr that its help shows, as commander has them. */
export async function definedSubcommands(): Promise<readonly Command[]> {
	const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
	const context: CliContext = {
		programName: "l3dsr",
		programPath: "/usr/sbin/l3dsr",
		argv: [],
		env: {},
		stdout: nowhere,
		stderr: nowhere,
		outputClosed: new AbortController().signal,
	};
	const defined: Command[] = [];
	for (const { name, summary, hidden, load } of SUBCOMMANDS) {
		if (hidden === true) continue;
		const command = new Command(name).description(summary).summary(summary);
		(await load()).define(command, context);
		defined.push(command);
	}
	return defined;
}

async function l3dsr(): Promise<CompletedCommand> {
	const help: CompletedOption = { names: ["-h", "--help"], help: "print help" };
	const subcommands = (await definedSubcommands()).map((command): CompletedCommand => {
		const [operand] = command.registeredArguments;
		return {
			name: command.name(),
			summary: command.summary(),
			options: [
				...command.options
					.filter(({ hidden }) => !hidden)
					.map((option): CompletedOption => {
						const names = [option.short, option.long].filter((name) => name !== undefined);
						if (!option.required && !option.optional) return { names, help: option.description };
						const name = /[<[](.*?)(?:\.\.\.)?[>\]]/.exec(option.flags)?.[1] ?? "value";
						const choices = option.argChoices === undefined ? undefined : words(option.argChoices);
						const value = choices ?? valueByName(name, option.long);
						return { names, help: option.description, argument: { name, value, optional: option.optional } };
					}),
				{ names: ["--debug"], help: "print the stack trace of an error" },
				help,
			],
			...(operand === undefined
				? {}
				: {
						operand: {
							name: operand.name(),
							value:
								operand.argChoices === undefined ? valueByName(operand.name()) : words(operand.argChoices),
						},
					}),
			subcommands: [],
		};
	});
	const version: CompletedOption = { names: ["-V", "--version"], help: "print the version" };
	return {
		name: "l3dsr",
		summary: "Layer-3 Direct Server Return",
		options: [version, help],
		subcommands,
	};
}

function dsrctl(): CompletedCommand {
	return {
		name: "dsrctl",
		summary: "start, stop and show the services of a real server",
		options: Object.entries(OPTIONS).map(([letter, { argument, help }]) => ({
			names: [`-${letter}`],
			help,
			...(argument === undefined
				? {}
				: { argument: { name: argument, value: valueByName(argument), optional: false } }),
		})),
		operand: { name: "action", value: words(Object.keys(ACTIONS)) },
		subcommands: [],
	};
}

function iptables(family: "ipv4" | "ipv6"): readonly CompletedCommand[] {
	const name = family === "ipv4" ? "iptables-daddr" : "ip6tables-daddr";
	const matches = modulesOf(family).flatMap(({ name: module, syntax }) => syntax.options(module));
	const header = Object.values(HEADER_OPTIONS).filter(
		(option) => option !== HEADER_OPTIONS.fragment || family === "ipv4",
	);
	const all = (tables: readonly OptionSpec[]) =>
		[...new Set(tables)].map((option) => fromTable(option, family));
	return [
		{
			name,
			summary: "rules of the DADDR target",
			options: all([
				...Object.values(COMMAND_OPTIONS),
				...Object.values(MODE_OPTIONS),
				...header,
				MATCH_OPTION,
				JUMP_OPTION,
				...matches,
				...Object.values(TARGET_OPTIONS),
			]),
			operand: { name: "chain", value: CHAIN_NAMES },
			subcommands: [],
		},
		{
			name: `${name}-save`,
			summary: "print the rules of the DADDR target",
			options: all(Object.values(SAVE_OPTIONS)),
			subcommands: [],
		},
		{
			name: `${name}-restore`,
			summary: "restore rules of the DADDR target",
			options: all(Object.values(RESTORE_OPTIONS)),
			operand: { name: "file", value: { kind: "file" } },
			subcommands: [],
		},
	];
}

const CHAIN_NAMES = words([...new Set(Object.values(CHAINS).flat())]);

function fromTable(option: OptionSpec, family: "ipv4" | "ipv6"): CompletedOption {
	// "0" stands in the tables for --line-numbers, and nobody types it.
	const short = option.short === undefined || option.short === "0" ? [] : [`-${option.short}`];
	const names = [...short, ...option.long.map((long) => `--${long}`)];
	if (option.argument === undefined) return { names, help: option.help };
	let value = valueByName(option.argument, `--${option.long[0]}`);
	if (option === MATCH_OPTION) value = words(modulesOf(family).map(({ name }) => name));
	return {
		names,
		help: option.help,
		argument: { name: option.argument, value, optional: option.optional !== undefined },
	};
}

/** The tables name an argument; this says what the shell can offer for it. */
function valueByName(name: string, option?: string): Value {
	if (option === "--dscp-class") return words(Object.keys(DSCP_CLASSES));
	if (option === "--netns") return { kind: "netns" };
	if (option === "--down") return { kind: "lab" };
	if (option === "--interface") return { kind: "interface" };
	if (/^\[?chain/.test(name)) return CHAIN_NAMES;
	switch (name) {
		case "file":
		case "filename":
		case "path":
			return { kind: "file" };
		case "real":
			return { kind: "real" };
		case "format":
			return words(FORMAT_NAMES);
		case "dir":
			return { kind: "directory" };
		case "name[+]":
		case "interface":
			return { kind: "interface" };
		case "table":
			return words(Object.keys(CHAINS));
		case "proto":
			return words([...Object.keys(PROTOCOL_NUMBER), "all"]);
		case TARGET_NAME:
			return words([TARGET_NAME]);
		default:
			return FREE;
	}
}
