/** Reading and changing this host's rules, as every command of iptables-daddr does it. */
import type { Family } from "@l3dsr/packet";
import { L3dsrError } from "../../errors.ts";
import { privilegeMissing } from "../../host/capabilities.ts";
import { requireIpv6 } from "../../host/ipv6.ts";
import { explaining } from "../../inspect/failure-text.ts";
import type { Finding } from "../../model/finding.ts";
import type { Chain, Rule, Table } from "../../model/rule.ts";
import type { RulesetEditor } from "../../plan/ruleset-editor.ts";
import type { ObservedHost } from "../../reconcile/observe.ts";
import { reconcile, rehearse } from "../../reconcile/reconcile.ts";
import { editTarget } from "../../reconcile/rule-edit.ts";
import type { Observation, ObservedRule } from "../../rewrite/datapath.ts";
import { resolveSettings } from "../../sources/settings.ts";
import type { CliContext } from "../context.ts";
import { diagnosticsOf } from "../error-table.ts";
import { sayWaiting } from "../lock-wait.ts";
import type { Output } from "../output.ts";
import type { IptablesHost } from "./host.ts";

/** Reports why rules cannot be changed at all, before the kernel refuses with an errno. */
export function requireAccess(host: IptablesHost, family: Family): void {
	const { missing } = host;
	if (missing !== undefined) {
		if (host.isRoot) {
			throw privilegeMissing(family === "ipv4" ? "iptables-daddr" : "ip6tables-daddr", "network", missing);
		}
		throw new L3dsrError({
			code: "KERNEL_PERMISSION",
			message: "Permission denied (you must be root)",
			hint: "run the same command with sudo",
		});
	}
	if (family === "ipv6") requireIpv6(host.ipv6());
}

/** Rules may be set while IPv6 is disabled, but the user should know. */
export function warnOfIpv6Off(host: IptablesHost, family: Family, stderr: Output): void {
	if (family !== "ipv6" || host.ipv6() !== "off") return;
	stderr.write(
		"warning: IPv6 is disabled here (net.ipv6.conf.all.disable_ipv6 = 1): these rules see no packets\n" +
			"hint: sysctl -w net.ipv6.conf.all.disable_ipv6=0\n",
	);
}

/** The rules of a chain, in order. */
export function rulesOf<T extends { readonly rule: Rule }>(
	rules: readonly T[],
	family: Family,
	table: Table,
	chain: Chain,
): readonly T[] {
	return rules.filter(({ rule }) => rule.family === family && rule.table === table && rule.chain === chain);
}

/** Reads the kernel; findings are printed on stderr. */
export async function observeRules(host: IptablesHost, { env, stderr }: CliContext): Promise<Observation> {
	const datapath = await host.openDatapath(resolveSettings({}, env));
	const observation = await datapath.observe();
	warnOf(observation.findings, stderr);
	return observation;
}

function warnOf(findings: readonly Finding[], stderr: Output): void {
	for (const { object, problem } of findings) stderr.write(`warning: ${object}: ${problem}\n`);
}

export interface Change {
	/** How long to wait for the lock; Infinity: for ever. */
	readonly waitSeconds: number;
	readonly context: CliContext;
	/**
	 * Makes the edits and returns what to print about them; throws if one is not possible, and then nothing
	 * changes. Called again if others have changed the rules meanwhile.
	 */
	edit(editor: RulesetEditor, rules: readonly ObservedRule[]): Promise<string> | string;
	/** False: do everything except the change itself. */
	readonly commit?: boolean;
}

/** Takes the lock and reconciles the rules with the edits. */
export async function changeRules(host: IptablesHost, { context, ...change }: Change): Promise<void> {
	const { stdout, stderr, env } = context;
	const { given } = await host.settings();
	const datapath = await host.openDatapath(resolveSettings(given, env));
	let said = "";
	const target = editTarget(async (editor, rules) => {
		said = await change.edit(editor, rules);
	});
	const onFound = ({ state }: ObservedHost): void => warnOf(state.findings, stderr);
	using _held = await lock(host, change.waitSeconds, context);
	try {
		await explaining(async () => {
			if (change.commit === false) await rehearse(host, datapath, [target], { onFound });
			else await reconcile(host, datapath, [target], { onFound, onStep: () => {} });
		});
	} finally {
		stdout.write(said);
	}
}

async function lock(host: IptablesHost, seconds: number, context: CliContext): Promise<Disposable> {
	try {
		return await host.lock(seconds * 1000, sayWaiting(context));
	} catch (error) {
		const [held] = diagnosticsOf(error);
		if (held.code !== "LOCK_HELD") throw error;
		const message = "Another app is currently holding the l3dsr lock.";
		const way =
			seconds === 0 ? "Perhaps you want to use the -w option?" : `Stopped waiting after ${seconds}s.`;
		throw new L3dsrError(
			{ code: "LOCK_HELD", message: `${message} ${way}`, notes: [held.message] },
			{ cause: error },
		);
	}
}
