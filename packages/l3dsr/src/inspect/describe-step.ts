/** Steps of a plan as text: an equivalent command, if there is one. */

import { signatureOf } from "../model/lower-service.ts";
import type { Rule } from "../model/rule.ts";
import type { Step } from "../plan/host-state.ts";
import type { LoopbackAddress } from "../plan/loopback.ts";
import { formatRuleSpec } from "../syntax/iptables/rule-format.ts";
import { describeDirector } from "./describe-director.ts";

/** One line for each action of a step. `insert`: new rules go to the top of their chain, as with `-I`. */
export function describeStep(step: Step, { insert = false }: { readonly insert?: boolean } = {}): string[] {
	switch (step.kind) {
		case "guard": {
			if (step.guard === undefined) return ["nft delete table arp l3dsr"];
			const held = step.guard.held.map(({ text }) => text).join(", ");
			return [`nft table arp l3dsr: suppress ARP for ${held}`];
		}
		case "add-address":
			return [addressCommand("add", step.entry)];
		case "remove-address":
			return [addressCommand("remove", step.entry)];
		case "resize": {
			const { address, prefixLength } = step.entry;
			return [`make ${address.text} on lo a /${step.prefixLength} instead of a /${prefixLength}`];
		}
		case "director":
			return describeDirector(step.plan);
		case "rules":
			return [
				...step.repaired.map(({ object, problem }) => `repair ${object}: ${problem}`),
				...step.removed.map((rule) => describeRule("-D", rule)),
				// In this order, `-I` produces the planned chain.
				...(insert ? step.added.toReversed().map((rule) => describeRule("-I", rule)) : []),
				...(insert ? [] : step.added.map((rule) => describeRule("-A", rule))),
			];
	}
}

/** The command of ip(8) that adds or removes this address. */
function addressCommand(kind: "add" | "remove", entry: LoopbackAddress): string {
	const { address, prefixLength, label } = entry;
	const what = `${address.text}/${prefixLength} dev lo`;
	if (kind === "remove") return `ip address del ${what}`;
	return `ip address add ${what} ${label === undefined ? "nodad preferred_lft 0" : `label ${label}`}`;
}

/** The command of iptables-daddr that appends, inserts or deletes this rule. */
function describeRule(command: "-A" | "-D" | "-I", rule: Rule): string {
	const program = rule.family === "ipv4" ? "iptables-daddr" : "ip6tables-daddr";
	return `${program} -t ${rule.table} ${command} ${rule.chain} ${formatRuleSpec(rule)}`;
}

/** Names of the services that a step affects; the VIP if there is no name. */
function subjectsOf(step: Step): string[] {
	if (step.kind === "rules") {
		return [
			...new Set([...step.removed, ...step.added].map((rule) => signatureOf(rule) ?? rule.target.daddr.text)),
		];
	}
	if (step.kind === "director") {
		const { services, attached, detached } = step.plan;
		const names = services.map(({ vip, address }) => vip ?? address.text);
		return [...new Set(names.length > 0 ? names : [...attached, ...detached].map((one) => one.interface))];
	}
	if (step.kind === "guard") return step.guard?.held.map(({ text }) => text) ?? [];
	return [step.entry.address.text];
}

/** A step as in `--json` and the agent's records. */
export interface StepRecord {
	readonly kind: Step["kind"];
	readonly subjects: readonly string[];
	/** One line for each action. */
	readonly commands: readonly string[];
}

export function stepRecord(step: Step): StepRecord {
	return { kind: step.kind, subjects: subjectsOf(step), commands: describeStep(step) };
}
