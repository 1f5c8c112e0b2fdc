/** What runs on this host, and where it differs from the configuration: the record that `l3dsr status` prints. Pure. */
import type { Keeping } from "../../host/hold.ts";
import type { Configuration, DatapathChoice } from "../../model/configuration.ts";
import type { Finding } from "../../model/finding.ts";
import { signatureOf } from "../../model/lower-service.ts";
import { driftOf } from "../../plan/drift.ts";
import { absentTexts, type ConfiguredHost } from "../../reconcile/configured-host.ts";
import type { Plan } from "../../reconcile/target.ts";
import type { DatapathName, HookName, ObservedRule } from "../../rewrite/datapath.ts";
import { type TcChecksum, tcChecksum } from "../../rewrite/ebpf/kernel/checksum-state.ts";
import { hiddenTexts } from "../../rewrite/hidden-programs.ts";
import { answeredOf } from "../../rewrite/steps-between.ts";
import { refusalText } from "../refusal-text.ts";
import type { DirectorRecord } from "./director-record.ts";
import { servicePlaces } from "./service-places.ts";
import { type Rate, type ServiceRow, serviceRows } from "./service-rows.ts";

export interface StatusRecord {
	/** Name of the file; null if there is none. */
	readonly configuration: string | null;
	/** Where rules run now (empty if none runs), and why those of services run there. */
	readonly datapath: {
		readonly running: readonly DatapathName[];
		/** Where programs with rules are attached. */
		readonly hooks: readonly { readonly hook: HookName; readonly interface: string }[];
		readonly why: string;
		/** If programs set ports: what translates the answers back. */
		readonly answers?: "nft";
		/** If eBPF programs run: what writes the transport checksum at tc. */
		readonly tcChecksum?: TcChecksum;
	};
	readonly services: readonly (ServiceRow & { readonly rate?: Rate | null })[];
	/** Only if a director runs or is configured. */
	readonly director?: DirectorRecord;
	readonly drift: readonly Pick<Finding, "kind" | "object" | "problem">[];
	/** Other problems, as sentences. */
	readonly warnings: readonly string[];
	/** Why up cannot apply the configuration, if it cannot. */
	readonly refused?: string;
	/** Whether an agent runs here. */
	readonly keeping: Keeping;
	/** DADDR rules that are not l3dsr's services: by hand, or dsrctl's. */
	readonly otherRules: number;
}

/** `configured` is undefined without a configuration: then the services are those in the kernel. */
export function statusOf(
	plan: Plan<ConfiguredHost>,
	configured: { readonly source: string; readonly configuration: Configuration } | undefined,
	datapath: DatapathChoice,
	keeping: Keeping,
	director?: DirectorRecord,
): StatusRecord {
	const { state, desired, assignment, steps } = plan;
	const { snapshot } = plan.observed;
	const { wish, stopped } = desired;
	const running = [...new Set(snapshot.rules.map((rule) => rule.datapath))].sort();
	const services = configured?.configuration.services;
	const drift = services === undefined ? [] : driftOf(state, { steps, services, stopped });
	const refusal = refusalText(plan);
	return {
		configuration: configured?.source ?? null,
		datapath: {
			running,
			hooks: hooksOf(snapshot.rules),
			why: servicePlaces(datapath, assignment, desired).why,
			...(answeredOf(snapshot.rules).length === 0 ? {} : { answers: "nft" }),
			...(running.includes("ebpf") ? { tcChecksum: tcChecksum() } : {}),
		},
		services: serviceRows({ services, lowering: wish.lowering, stopped }, state, snapshot.rules),
		...(director === undefined ? {} : { director }),
		drift: drift.map(({ kind, object, problem }) => ({ kind, object, problem })),
		warnings: [...hiddenTexts(snapshot), ...absentTexts(desired)],
		...(refusal === undefined ? {} : { refused: refusal }),
		keeping,
		otherRules: snapshot.rules.filter(({ rule }) => signatureOf(rule) === undefined).length,
	};
}

function hooksOf(rules: readonly ObservedRule[]): StatusRecord["datapath"]["hooks"] {
	const found = rules.flatMap(({ rule, hook }) => {
		const { name } = rule.header.inInterface ?? {};
		return hook === undefined || name === undefined ? [] : [{ hook, interface: name }];
	});
	return [...new Map(found.map((one) => [`${one.hook} ${one.interface}`, one])).values()];
}
