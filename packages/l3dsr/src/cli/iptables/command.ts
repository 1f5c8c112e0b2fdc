/** `iptables-daddr`: one command line. */
import type { Family } from "@l3dsr/packet";
import { CHAINS, type Chain, type Rule } from "../../model/rule.ts";
import type { ChainEdit, RulesetEditor } from "../../plan/ruleset-editor.ts";
import {
	isListing,
	type ListCommand,
	OTHER_FAMILY,
	readCommand,
} from "../../syntax/iptables/command-line.ts";
import { commandHelp } from "../../syntax/iptables/help.ts";
import {
	describeRule,
	type ListedRule,
	listChain,
	namedAddresses,
	policyLine,
	ruleLine,
} from "../../syntax/iptables/listing.ts";
import type { RestoreCommand } from "../../syntax/iptables/restore-file.ts";
import { wordsOfArgv } from "../../syntax/iptables/words.ts";
import { Problems } from "../../syntax/problems.ts";
import type { CliContext } from "../context.ts";
import { VERSION } from "../package-version.ts";
import type { IptablesHost } from "./host.ts";
import { changeRules, observeRules, requireAccess, rulesOf, warnOfIpv6Off } from "./rules.ts";

export async function runCommand(context: CliContext, host: IptablesHost, family: Family): Promise<void> {
	const problems = new Problems();
	const read = readCommand(wordsOfArgv(context.argv), { family, services: host.services, problems });
	problems.throwIfAny();
	if (read === undefined || read === OTHER_FAMILY)
		throw new Error("a command line gave neither command nor problem");
	const { command, verbose, waitSeconds } = read;
	const { stdout, stderr, programName } = context;
	if (command.kind === "help") {
		stdout.write(commandHelp(programName, VERSION, family));
		return;
	}
	if (command.kind === "version") {
		stdout.write(`${programName} v${VERSION} (l3dsr)\n`);
		return;
	}
	requireAccess(host, family);
	if (command.kind === "no-op") return;
	if (isListing(command) && command.zero === undefined) {
		const { rules } = await observeRules(host, context);
		stdout.write(await list(command, family, host, rules));
		return;
	}
	if (command.kind === "append" || command.kind === "insert" || command.kind === "replace") {
		warnOfIpv6Off(host, family, stderr);
	}
	await changeRules(host, {
		waitSeconds,
		context,
		commit: command.kind !== "check",
		async edit(editor, rules) {
			if (isListing(command)) {
				const listing = await list(command, family, host, rules);
				const { table, chain, position } = command;
				const zero = { kind: "zero", table, ...(chain && { chain }), ...command.zero, position } as const;
				return listing + makeEdit(editor, family, zero, verbose);
			}
			return makeEdit(editor, family, command, verbose);
		},
	});
}

/** Makes the edit of one command (of a command line, or of a rules file) and returns what -v prints about it. */
export function makeEdit(
	editor: RulesetEditor,
	family: Family,
	command: RestoreCommand,
	verbose: boolean,
): string {
	const { table } = command;
	const said: string[] = [];
	const apply = (chain: Chain, edit: ChainEdit): void => {
		editor.apply({ family, table, chain }, edit, "position" in command ? command.position : undefined);
	};
	const describe = (rules: readonly Rule[]): void => {
		for (const rule of rules) said.push(describeRule(rule));
	};
	switch (command.kind) {
		case "append":
		case "insert": {
			const { kind, at, rules, counters } = command;
			apply(command.chain, { kind, at, rules, ...(counters && { counters }) });
			describe(rules);
			break;
		}
		case "check":
		case "delete":
			apply(command.chain, {
				kind: command.kind === "check" ? "check" : "delete-rule",
				rules: command.rules,
			});
			describe(command.rules);
			break;
		case "delete-number":
			apply(command.chain, { kind: "delete-number", at: command.at });
			break;
		case "replace": {
			const { at, rule, counters } = command;
			apply(command.chain, { kind: "replace", at, rule, ...(counters && { counters }) });
			describe([rule]);
			break;
		}
		case "no-op":
			break;
		case "flush":
		case "zero": {
			const chains = command.chain === undefined ? CHAINS[table] : [command.chain];
			for (const chain of chains) {
				if (command.kind === "flush") apply(chain, { kind: "flush" });
				else apply(chain, { kind: "zero", ...(command.at && { at: command.at }) });
				if (command.kind === "flush") said.push(`Flushing chain \`${chain}'`);
				else if (command.at === undefined) said.push(`Zeroing chain \`${chain}'`);
			}
		}
	}
	return verbose ? said.map((line) => `${line}\n`).join("") : "";
}

async function list(
	command: ListCommand,
	family: Family,
	host: IptablesHost,
	rules: readonly ListedRule[],
): Promise<string> {
	const { table, chain: only, at, style } = command;
	const chains: readonly Chain[] = only === undefined ? CHAINS[table] : [only];
	const here = (chain: Chain): readonly ListedRule[] => rulesOf(rules, family, table, chain);
	if (command.kind === "list-rules") {
		const policies = at === undefined ? chains.map((chain) => policyLine(chain, style.verbose)) : [];
		const lines = chains.flatMap((chain) =>
			here(chain)
				.filter((_, index) => at === undefined || at === index + 1)
				.map((rule) => ruleLine(rule, style.verbose)),
		);
		return [...policies, ...lines].join("");
	}
	const hosts = style.numeric ? new Map() : await host.hostNames(namedAddresses(chains.flatMap(here)));
	const names = { services: host.services, host: (address: { text: string }) => hosts.get(address.text) };
	return chains
		.map((chain) => listChain(chain, here(chain), style, names, at))
		.join(at === undefined ? "\n" : "");
}
