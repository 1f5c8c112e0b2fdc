/** Reading and changing this host's rules, as every command of iptables-daddr does it. */
import type { Family } from "@l3dsr/packet";
import { asL3dsrError, L3dsrError } from "../../errors.ts";
import { type Chain, type Rule, sameRule, type Table } from "../../model/rule.ts";
import type { Ruleset } from "../../model/ruleset.ts";
import { RulesetEditor } from "../../plan/ruleset-editor.ts";
import type { Observation } from "../../rewrite/datapath.ts";
import type { HostDatapath, HostSnapshot } from "../../rewrite/host-datapath.ts";
import type { Output } from "../output.ts";
import type { IptablesHost } from "./host.ts";

/** Says what stands in the way of touching rules at all, before the kernel does in its own words. */
export function requireAccess(host: IptablesHost, family: Family): void {
	if (!host.isRoot) {
		throw new L3dsrError({
			code: "KERNEL_PERMISSION",
			message: "Permission denied (you must be root)",
			hint: "run the same command with sudo",
		});
	}
	if (family === "ipv6" && host.ipv6() === "absent") {
		throw new L3dsrError({
			code: "KERNEL_FEATURE",
			message: "IPv6 is not there: this kernel was started without it",
			hint: "take ipv6.disable=1 off the kernel's command line, or use iptables-daddr",
		});
	}
}

/** Rules may be set while IPv6 is switched off, but whoever sets them should know. */
export function warnOfIpv6Off(host: IptablesHost, family: Family, stderr: Output): void {
	if (family !== "ipv6" || host.ipv6() !== "off") return;
	stderr.write(
		"warning: IPv6 is switched off here (net.ipv6.conf.all.disable_ipv6 = 1): these rules see no packets\n" +
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

/** Reads the kernel; what does not belong there is said on stderr. */
export async function observeRules(datapath: HostDatapath, stderr: Output): Promise<HostSnapshot> {
	const observation = await datapath.observe();
	for (const { object, problem } of observation.findings) stderr.write(`warning: ${object}: ${problem}\n`);
	return observation;
}

export interface Change {
	/** For the lock; Infinity is for ever. */
	readonly waitSeconds: number;
	readonly stderr: Output;
	/** Makes the edits; throws when one cannot be made, and then nothing changes. */
	edit(editor: RulesetEditor, observation: Observation): Promise<void> | void;
	/** False: everything but the change itself. */
	readonly commit?: boolean;
}

/** Takes the lock, observes, edits, applies and verifies. */
export async function changeRules(host: IptablesHost, change: Change): Promise<void> {
	const datapath = await host.openDatapath();
	using _held = await lock(host, change.waitSeconds);
	const observation = await observeRules(datapath, change.stderr);
	const editor = new RulesetEditor(observation.rules);
	await change.edit(editor, observation);
	if (change.commit === false) return;
	const desired = editor.ruleset();
	await observation.change(observation.assign(desired));
	verify(desired, await datapath.observe());
}

async function lock(host: IptablesHost, seconds: number): Promise<Disposable> {
	try {
		return await host.lock(seconds * 1000);
	} catch (error) {
		const known = asL3dsrError(error);
		if (known.code !== "LOCK_HELD") throw error;
		const message = "Another app is currently holding the l3dsr lock.";
		const way =
			seconds === 0 ? "Perhaps you want to use the -w option?" : `Stopped waiting after ${seconds}s.`;
		throw new L3dsrError(
			{ code: "LOCK_HELD", message: `${message} ${way}`, notes: [known.message] },
			{ cause: error },
		);
	}
}

function verify(desired: Ruleset, { rules }: Observation): void {
	const missing = desired.entries.find(
		({ rule, ordinal }) => !rules.some((one) => one.ordinal === ordinal && sameRule(one.rule, rule)),
	);
	if (missing === undefined && rules.length === desired.entries.length) return;
	throw new L3dsrError({
		code: "DATAPATH_VERIFY",
		message: `verify the rules after the change: the kernel has ${rules.length} rules, asked for were ${desired.entries.length}`,
		hint: "something else changes l3dsr's rules without its lock; list them with -S and repeat the command",
	});
}
