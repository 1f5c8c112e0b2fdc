/** The drift that a plan repairs, object by object. Pure. */
import { type Address, addressBits, sameAddress } from "@l3dsr/packet";
import { type Finding, MADE_FOR_OTHER_ADDRESSES } from "../model/finding.ts";
import { signatureOf } from "../model/lower-service.ts";
import type { Rule } from "../model/rule.ts";
import { RuleBag } from "../model/rule-bag.ts";
import type { Service } from "../model/service.ts";
import { directorDrift } from "./director-drift.ts";
import type { HostState, Step } from "./host-state.ts";
import { keyOfRule } from "./service-keys.ts";
import type { StoppedService } from "./startable.ts";

/** What a plan's steps are meant to achieve. */
export interface Purpose {
	readonly steps: readonly Step[];
	/** The configured services. */
	readonly services: readonly Service[];
	/** The configured services that this host cannot have. */
	readonly stopped: readonly StoppedService[];
}

/** What each step of a plan repairs. */
export function driftOf(observed: HostState, { steps, services, stopped }: Purpose): Finding[] {
	return steps.flatMap((step) => stepDrift(observed, step, services, stopped));
}

function stepDrift(
	observed: HostState,
	step: Step,
	services: readonly Service[],
	stopped: readonly StoppedService[],
): Finding[] {
	switch (step.kind) {
		case "guard":
			return guardDrift(observed, step, stopped);
		case "rules":
			return ruleDrift(step, stopped);
		case "director":
			return directorDrift(step.plan);
		case "add-address":
			return [
				{ kind: "address-missing", object: `${step.entry.address.text} on lo`, problem: "is not there" },
			];
		case "resize":
		case "remove-address": {
			const { address, prefixLength } = step.entry;
			const wanted = services.some(({ vip }) => sameAddress(vip, address));
			const problem = wanted
				? `covers more than the VIP, which is a /${addressBits(address.family)}`
				: "does not belong to a service any more";
			return [{ kind: "address-superfluous", object: `${address.text}/${prefixLength} on lo`, problem }];
		}
	}
}

/** A guard that changes only because addresses change is not reported separately. */
function guardDrift(
	{ guard, addresses }: HostState,
	step: Extract<Step, { kind: "guard" }>,
	stopped: readonly StoppedService[],
): Finding[] {
	const object = "table arp l3dsr";
	if (guard.altered) return [{ kind: "guard", object, problem: "has been altered" }];
	const exposed = (step.guard?.held ?? []).filter(
		(vip) =>
			!guard.held.some((held) => sameAddress(held, vip)) &&
			addresses.some(({ address }) => sameAddress(address, vip)),
	);
	const answered = exposed.filter(({ family }) => family === "ipv4");
	if (guard.guard === undefined && exposed.length > 0) {
		const so = answered.length === 0 ? "" : `: ARP answers for ${textOf(answered)}`;
		return [{ kind: "guard", object, problem: `is missing${so}` }];
	}
	if (exposed.length > 0) return [{ kind: "guard", object, problem: `does not hold ${textOf(exposed)}` }];
	const released = guard.held.filter((vip) => !step.guard?.held.some((held) => sameAddress(held, vip)));
	if (released.length > 0) {
		const reason = stopped.find(({ service }) =>
			released.some((vip) => sameAddress(vip, service.vip)),
		)?.reason;
		const why =
			reason === undefined ? ", which is no longer a VIP of a service" : ` of a stopped service: ${reason}`;
		const problem = `holds ${textOf(released)}${why}`;
		return [{ kind: reason === undefined ? "guard" : "stopped", object, problem }];
	}
	const lacking = (list: readonly Address[], other: readonly Address[]) =>
		list.filter((vip) => !other.some((one) => sameAddress(one, vip)));
	const [now, wanted] = [guard.guard?.silent ?? [], step.guard?.silent ?? []];
	const loud = lacking(wanted, now).filter((vip) => guard.held.some((held) => sameAddress(held, vip)));
	if (loud.length > 0) {
		return [{ kind: "guard", object, problem: `does not silence ${textOf(loud)}: ARP answers for it` }];
	}
	const mute = lacking(lacking(now, wanted), guard.held);
	if (mute.length > 0) {
		return [{ kind: "guard", object, problem: `silences ${textOf(mute)}, which this host must answer for` }];
	}
	const newcomers = (step.guard?.held.length ?? 0) > guard.held.length;
	return newcomers ? [] : [{ kind: "network", object, problem: MADE_FOR_OTHER_ADDRESSES }];
}

function textOf(addresses: readonly { readonly text: string }[]): string {
	return addresses.map(({ text }) => text).join(", ");
}

function ruleDrift(
	{ ruleset, added, removed, repaired }: Extract<Step, { kind: "rules" }>,
	stopped: readonly StoppedService[],
): Finding[] {
	const kept = new RuleBag(removed.length === 0 ? [] : ruleset.entries.map(({ rule }) => rule));
	const drift: Finding[] = [...repaired];
	const takenOver = rulesTakenOver(removed, added);
	if (takenOver.length > 0) drift.push(takeOver(takenOver));
	const served = new Set(takenOver.map(keyOfRule));
	for (const rule of removed.filter((one) => !takenOver.includes(one))) {
		const name = signatureOf(rule);
		const object = name === undefined ? `a rule for ${rule.target.daddr.text}` : `a rule of ${name}`;
		const reason = stopped.find(
			({ service }) => service.name === name && sameAddress(service.vip, rule.target.daddr),
		)?.reason;
		if (reason !== undefined) {
			drift.push({ kind: "stopped", object, problem: `cannot rewrite: ${reason}`, rule });
		} else if (name === undefined) {
			drift.push({
				kind: "rule-duplicate",
				object,
				problem: "duplicates the rule of a service",
				rule,
			});
		} else if (kept.has(rule)) {
			drift.push({ kind: "rule-duplicate", object, problem: "exists more than once", rule });
		} else {
			drift.push({ kind: "rule-superfluous", object, problem: "does not match its service", rule });
		}
	}
	for (const rule of added) {
		const name = signatureOf(rule);
		// A rule is not missing if a foreign rule does its work.
		if (name !== undefined && served.has(keyOfRule(rule) ?? "")) continue;
		drift.push(
			name === undefined
				? {
						kind: "rule-to-hand-back",
						object: `a rule for ${rule.target.daddr.text}`,
						problem: "belongs to dsrctl now",
						rule,
					}
				: { kind: "rule-missing", object: `a rule of ${name}`, problem: "is missing", rule },
		);
	}
	return drift;
}

/** Rules of dsrctl, or added by hand, that do the work of services whose own rules are yet to be added. */
function rulesTakenOver(removed: readonly Rule[], added: readonly Rule[]): Rule[] {
	const coming = new Set(
		added.flatMap((rule) => (signatureOf(rule) === undefined ? [] : (keyOfRule(rule) ?? []))),
	);
	return removed.filter((rule) => signatureOf(rule) === undefined && coming.has(keyOfRule(rule) ?? ""));
}

/** One finding for all of them, because nothing is wrong with these services. */
function takeOver(rules: readonly Rule[]): Finding {
	const [first, ...more] = [...new Set(rules.map(({ target }) => target.daddr.text))];
	const others =
		more.length === 0 ? "" : more.length === 1 ? ` and ${more[0]}` : ` and ${more.length} more VIPs`;
	const many = rules.length > 1;
	return {
		kind: "rule-to-take-over",
		object: `${many ? `${rules.length} rules` : "a rule"} of dsrctl or by hand for ${first}${others}`,
		problem: many
			? "do the work of services: up takes them over"
			: "does the work of a service: up takes it over",
		...(many ? {} : { rule: rules[0] }),
	};
}
