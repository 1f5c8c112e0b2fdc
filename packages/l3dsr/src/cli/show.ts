/** `l3dsr show`: the rules that run here with their counters, or how to begin. */
import type { Command } from "commander";
import type { Observation } from "../rewrite/datapath.ts";
import { openDatapath } from "../rewrite/host-datapath.ts";
import { resolveSettings } from "../sources/settings.ts";
import { formatRuleSpec } from "../syntax/iptables/rule-format.ts";
import { type CliContext, writeJson } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { inNamespace } from "./namespace.ts";
import { requirePrivilegesOf } from "./privileges.ts";
import { styleFor } from "./style.ts";
import { formatTable } from "./table.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	command
		.description(
			"Shows every DADDR rule in the kernel with its counters, whoever made it. Needs no configuration.",
		)
		.option("--netns <name>", "run in this network namespace (ip netns)")
		.option("--json", "print JSON");
	return async () => {
		const options = command.opts<{ json?: boolean; netns?: string }>();
		return await inNamespace(options, async () => {
			requirePrivilegesOf("l3dsr show");
			const observation = await openDatapath(resolveSettings({}, context.env)).observe();
			if (options.json === true) writeJson(context.stdout, "show", recordOf(observation));
			else context.stdout.write(rulesText(context, observation));
			return EXIT.done;
		});
	};
}

/** The rules as a table; if there are none, how to begin. */
export function rulesText(context: CliContext, observation: Observation): string {
	return showText(context, recordOf(observation));
}

type Shown = ReturnType<typeof recordOf>;

function recordOf({ rules, findings }: Observation) {
	return {
		rules: rules.map(({ rule, counters, datapath, hook }) => ({
			datapath,
			...(hook === undefined ? {} : { hook }),
			family: rule.family,
			table: rule.table,
			/** As iptables-daddr -S prints it. */
			rule: `-A ${rule.chain} ${formatRuleSpec(rule)}`,
			packets: counters.packets,
			bytes: counters.bytes,
		})),
		findings: findings.map(({ kind, object, problem }) => ({ kind, object, problem })),
	};
}

function showText(context: CliContext, { rules, findings }: Shown): string {
	const style = styleFor(context.stdout, context.env);
	const notes = findings
		.map(({ object, problem }) => `${style.bad("note:")} ${object}: ${problem}\n`)
		.join("");
	if (rules.length === 0) return `${notes}No rules are in place.\n\n${howToBegin(context)}`;
	const hooked = rules.some(({ hook }) => hook !== undefined);
	const table = formatTable(
		["datapath", ...(hooked ? ["hook"] : []), "family", "table", "packets", "bytes", "rule"],
		rules.map(({ datapath, hook, family, table, packets, bytes, rule }) => [
			datapath,
			...(hooked ? [hook ?? "--"] : []),
			family,
			table,
			String(packets),
			String(bytes),
			rule,
		]),
		{ header: style.dim, right: hooked ? [4, 5] : [3, 4] },
	);
	return table + (notes === "" ? "" : `\n${notes}`);
}

function howToBegin({ programName }: CliContext): string {
	return `To see Layer-3 DSR at work on this machine:
  ${programName} lab
To rewrite packets with DSCP 1 to a VIP that this host holds on lo:
  iptables-daddr -t raw -A PREROUTING -m dscp --dscp 1 -m addrtype --dst-type LOCAL -j DADDR --set-daddr=VIP
To make this host a real server, VIPs on lo included, write /etc/l3dsr/l3dsr.yaml:
  services:
    - vip: 192.0.2.10   # what clients connect to
      dscp: 7           # what the director marks their packets with
and then:
  ${programName} check    can this host serve it?
  ${programName} up       apply it
Everything else: ${programName} --help
`;
}
