/** Bare `l3dsr`: the rules that run here with their counters, or how to begin. */
import type { Command } from "commander";
import type { Observation } from "../datapath/datapath.ts";
import { openDatapath } from "../datapath/host-datapath.ts";
import { EXIT, type ExitCode } from "../errors.ts";
import { formatRuleSpec } from "../syntax/iptables/rule-format.ts";
import { type CliContext, writeJson } from "./context.ts";
import { styleFor } from "./style.ts";
import { formatTable } from "./table.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	command.option("--json", "print JSON");
	return async () => {
		const record = recordOf(await openDatapath({ env: context.env }).observe());
		if (command.opts<{ json?: boolean }>().json === true) writeJson(context.stdout, record);
		else context.stdout.write(showText(context, record));
		return EXIT.done;
	};
}

type Shown = ReturnType<typeof recordOf>;

function recordOf({ rules, findings }: Observation) {
	return {
		rules: rules.map(({ rule, counters, datapath }) => ({
			datapath,
			family: rule.family,
			table: rule.table,
			/** As iptables-daddr -S prints it. */
			rule: `-A ${rule.chain} ${formatRuleSpec(rule)}`,
			packets: counters.packets,
			bytes: counters.bytes,
		})),
		findings,
	};
}

function showText(context: CliContext, { rules, findings }: Shown): string {
	const style = styleFor(context.stdout, context.env);
	const notes = findings
		.map(({ object, problem }) => `${style.bad("note:")} ${object}: ${problem}\n`)
		.join("");
	if (rules.length === 0) return `${notes}No rules are in place.\n\n${howToBegin(context)}`;
	const table = formatTable(
		["datapath", "family", "table", "packets", "bytes", "rule"],
		rules.map(({ datapath, family, table, packets, bytes, rule }) => [
			datapath,
			family,
			table,
			String(packets),
			String(bytes),
			rule,
		]),
		{ header: style.dim, right: [3, 4] },
	);
	return table + (notes === "" ? "" : `\n${notes}`);
}

function howToBegin({ programName }: CliContext): string {
	return [
		"To see Layer-3 DSR at work on this machine:\n",
		`  ${programName} lab\n`,
		"To hand packets with DSCP 1 to a VIP that this host holds on lo:\n",
		"  iptables-daddr -t mangle -A INPUT -m dscp --dscp 1 -j DADDR --set-daddr=VIP\n",
		`Everything else: ${programName} --help\n`,
	].join("");
}
