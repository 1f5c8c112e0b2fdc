/** A host as it is, a host as it should be, and the steps between the two. */
import type { Address } from "@l3dsr/packet";
import type { DesiredDirector } from "../model/director.ts";
import type { DirectorPlan } from "../model/director-plan.ts";
import type { Finding } from "../model/finding.ts";
import type { Rule } from "../model/rule.ts";
import type { Ruleset } from "../model/ruleset.ts";
import type { LinkAddress, VipGuard } from "../model/vip-guard.ts";
import type { LoopbackAddress, LoopbackStep } from "./loopback.ts";
import type { PlacedRule } from "./ruleset-editor.ts";

/** What was not observed is empty. */
export interface HostState {
	/** Every rule of every chain, in ordinal order within each. */
	readonly rules: readonly PlacedRule[];
	/** What the datapaths found that no rule accounts for. */
	readonly findings: readonly Finding[];
	/** Of `lo`. */
	readonly addresses: readonly LoopbackAddress[];
	readonly guard: {
		readonly held: readonly Address[];
		readonly found: readonly Address[];
		readonly guard?: VipGuard;
		readonly altered: boolean;
	};
	/** Of every other interface. */
	readonly links: readonly LinkAddress[];
}

/** What is absent stays as it is. */
export interface DesiredHost {
	readonly ruleset: Ruleset;
	/** Of `lo`, all of them. */
	readonly addresses?: readonly LoopbackAddress[];
	readonly guard?: VipGuard | "none";
	readonly director?: DesiredDirector | "none";
}

/** Made in the order of the plan; each leaves a host on which no packet is rewritten to a wrong address. */
export type Step =
	/** Before VIPs come and after they have gone, so that no moment answers ARP for them. */
	| { readonly kind: "guard"; readonly guard: VipGuard | undefined }
	| LoopbackStep
	/** All rules of the host at once. */
	| RulesStep
	/** The director, at the end: it comes when everything else stands, or not at all. */
	| DirectorStep;

export interface DirectorStep {
	readonly kind: "director";
	readonly plan: DirectorPlan;
}

export interface RulesStep {
	readonly kind: "rules";
	readonly ruleset: Ruleset;
	readonly added: readonly Rule[];
	readonly removed: readonly Rule[];
	/** What the same change mends. */
	readonly repaired: readonly Finding[];
}
