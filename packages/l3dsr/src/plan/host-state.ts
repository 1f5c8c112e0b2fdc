/** The observed host, the desired host, and the steps between them. */
import type { Address } from "@l3dsr/packet";
import type { DesiredDirector } from "../model/director.ts";
import type { DirectorPlan } from "../model/director-plan.ts";
import type { Finding } from "../model/finding.ts";
import type { Rule } from "../model/rule.ts";
import type { Ruleset } from "../model/ruleset.ts";
import type { LinkAddress, VipGuard } from "../model/vip-guard.ts";
import type { LoopbackAddress, LoopbackStep } from "./loopback.ts";
import type { PlacedRule } from "./ruleset-editor.ts";

/** Fields that were not observed are empty. */
export interface HostState {
	/** Every rule of every chain, in ordinal order within each. */
	readonly rules: readonly PlacedRule[];
	/** Objects that the datapaths found and that belong to no rule. */
	readonly findings: readonly Finding[];
	/** The addresses of `lo`. */
	readonly addresses: readonly LoopbackAddress[];
	readonly guard: {
		readonly held: readonly Address[];
		readonly found: readonly Address[];
		readonly guard?: VipGuard;
		readonly altered: boolean;
	};
	/** The addresses of all other interfaces. */
	readonly links: readonly LinkAddress[];
}

/** Absent fields mean no change. */
export interface DesiredHost {
	readonly ruleset: Ruleset;
	/** All addresses of `lo`. */
	readonly addresses?: readonly LoopbackAddress[];
	readonly guard?: VipGuard | "none";
	readonly director?: DesiredDirector | "none";
}

/** Steps are made in the order of the plan. After each, no packet is rewritten to a wrong address. */
export type Step =
	/** Made before VIPs are added and after they are removed, so that the host never answers ARP for them. */
	| { readonly kind: "guard"; readonly guard: VipGuard | undefined }
	| LoopbackStep
	/** All rules of the host at once. */
	| RulesStep
	/** The director comes last, and only if everything else succeeded. */
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
	/** The drift that the same change repairs. */
	readonly repaired: readonly Finding[];
}
