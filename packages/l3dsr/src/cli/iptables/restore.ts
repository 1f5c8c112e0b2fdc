/** `iptables-daddr-restore`: replaces the host's rules with those of a file, all at once. */
import type { Family } from "@l3dsr/packet";
import { CHAINS } from "../../model/rule.ts";
import { waitSeconds } from "../../syntax/iptables/command-line.ts";
import { RESTORE_OPTIONS } from "../../syntax/iptables/command-options.ts";
import { restoreHelp } from "../../syntax/iptables/help.ts";
import { parseRestoreFile } from "../../syntax/iptables/restore-file.ts";
import { parseTable } from "../../syntax/iptables/table-and-chain.ts";
import { wordsOfArgv } from "../../syntax/iptables/words.ts";
import { Problems } from "../../syntax/problems.ts";
import type { CliContext } from "../context.ts";
import { VERSION } from "../package-version.ts";
import { makeEdit } from "./command.ts";
import type { IptablesHost } from "./host.ts";
import { readOptions, requireSameFamily } from "./options.ts";
import { changeRules, requireAccess, warnOfIpv6Off } from "./rules.ts";

export async function runRestore(context: CliContext, host: IptablesHost, family: Family): Promise<void> {
	const { programName, stdout, stderr } = context;
	const problems = new Problems();
	const { given, operands } = readOptions(wordsOfArgv(context.argv), RESTORE_OPTIONS, problems);
	const [file, extra] = operands;
	if (extra !== undefined) {
		problems.add("RULE_SYNTAX", "Unknown arguments found on commandline", extra.position);
	}
	requireSameFamily(given, family, problems);
	const tableWord = given.get("table")?.value;
	const only = tableWord && parseTable(tableWord, problems, "file");
	const waitWord = given.get("wait")?.value;
	const wait = !given.has("wait") ? 0 : waitWord === undefined ? Infinity : waitSeconds(waitWord, problems);
	problems.throwIfAny();
	if (given.has("help")) {
		stdout.write(restoreHelp(programName, VERSION));
		return;
	}
	if (given.has("version")) {
		stdout.write(`${programName} v${VERSION} (l3dsr)\n`);
		return;
	}
	const tables = parseRestoreFile(host.readFile(file?.text ?? "-"), {
		family,
		source: file?.text ?? "stdin",
		services: host.services,
		counters: given.has("counters"),
		...(only && { only }),
	});
	requireAccess(host, family);
	warnOfIpv6Off(host, family, stderr);
	const verbose = given.has("verbose");
	await changeRules(host, {
		waitSeconds: wait,
		context,
		commit: !given.has("test"),
		edit(editor) {
			let said = "";
			for (const { table, commands } of tables) {
				if (!given.has("noflush")) {
					for (const chain of CHAINS[table]) {
						said += makeEdit(editor, family, { kind: "flush", table, chain }, verbose);
					}
				}
				for (const command of commands) said += makeEdit(editor, family, command, verbose);
			}
			return said;
		},
	});
}
