/** What a trace uses: the rules that run on this host, or those of a configuration. */
import type { Prefix } from "@l3dsr/packet";
import { type AddressedInterface, listInterfaceAddresses } from "../../host/addresses.ts";
import { describeMissing } from "../../host/capabilities.ts";
import { localPrefixes } from "../../host/local-prefixes.ts";
import { lowerService } from "../../model/lower-service.ts";
import type { Rule } from "../../model/rule.ts";
import { hostPrefix } from "../../model/selection.ts";
import type { ObservedRule } from "../../rewrite/datapath.ts";
import { Attachments } from "../../rewrite/ebpf/kernel/attachment.ts";
import { ProgramReplica } from "../../rewrite/ebpf/kernel/replica.ts";
import { openDatapath } from "../../rewrite/host-datapath.ts";
import {
	isReplicaFailure,
	RulesReplica,
	type RulesReplicaOptions,
} from "../../rewrite/nft/kernel/replica.ts";
import { loadConfiguration } from "../../sources/configuration.ts";
import { wantedDirector } from "../../sources/director.ts";
import type { Environment } from "../../sources/dsr-conf.ts";
import type { SourceFiles } from "../../sources/source-files.ts";
import type { DirectorOracle } from "./ask-director.ts";
import { chainStops, type Stop } from "./journey.ts";

export interface Situation extends Disposable {
	readonly stops: readonly Stop[];
	readonly interface: string;
	/** Why it is this interface, if -i was not given. */
	readonly interfaceBecause?: string;
	readonly local: readonly Prefix[];
	/** The director on the interface: it sees packets before any rule. */
	readonly director?: DirectorOracle;
	/** A copy of the program that runs on the interface. */
	readonly programReplica?: ProgramReplica;
	/** A copy of the rules that run on nft, or why there is none. */
	readonly rulesReplica?: RulesReplica | Error;
	/** `this host`, or the configuration's file. */
	readonly source: string;
	readonly notes: readonly string[];
}

export interface SituationOptions {
	readonly interface?: string;
	/** Additional addresses to treat as this host's. */
	readonly local?: readonly Prefix[];
	/** The packet's destination, if already known. */
	readonly to?: string;
	/** False: do not copy rules on nft to ask the kernel about them, which needs a network namespace. */
	readonly copyRules?: boolean;
}

/** Metadata of every packet that is traced. */
export interface PacketMeta {
	readonly mark: number;
	readonly sourceMac?: readonly number[];
}

/** The rules that run here. Throws L3dsrError (KERNEL_*, PROGRAM_*). Dispose when done. */
export async function liveSituation(options: SituationOptions, { mark }: PacketMeta): Promise<Situation> {
	const [observation, interfaces, local] = await Promise.all([
		openDatapath().observe(),
		listInterfaceAddresses(),
		localPrefixes(),
	]);
	const { limited } = observation;
	const attachments = limited === undefined ? Attachments.find() : Attachments.reopen([], []);
	const opened: Disposable[] = [attachments];
	const close = (): void => {
		for (const one of opened.reverse()) one[Symbol.dispose]();
	};
	try {
		const programmed = [
			...observation.directors.map((name) => ({ name, because: "a director runs there" })),
			...attachments.ours.map(({ interface: { name } }) => ({ name, because: HAS_RULES })),
		];
		const chosen = chooseInterface(options, interfaces, programmed);
		const attachment = attachments.ours.find(({ interface: { name } }) => name === chosen.interface);
		const ebpf = attachment?.rules.rules.map(({ rule }) => rule) ?? [];
		const programReplica = attachment === undefined ? undefined : ProgramReplica.of(attachment);
		if (programReplica !== undefined) opened.push(programReplica);
		const director = observation.directors.includes(chosen.interface)
			? (await import("./ask-director.ts")).DirectorOracle.open(chosen.interface)
			: undefined;
		if (director !== undefined) opened.push(director);
		const ingress: Stop[] =
			programReplica === undefined || ebpf.length === 0
				? []
				: [{ datapath: "ebpf", place: programReplica.place, when: "arriving", rules: ebpf }];
		const rules = nftRules(observation.rules);
		const onNft = chainStops(rules, "nft");
		const own = [...local, ...(options.local ?? [])];
		const beyondPrerouting = onNft.some(({ when }) => when !== "arriving");
		const network = { interface: chosen.interface, local: own, mark, beyondPrerouting };
		const rulesReplica =
			onNft.length === 0 || options.copyRules === false
				? undefined
				: await rulesReplicaOf({ ...network, rules });
		if (rulesReplica instanceof RulesReplica) opened.push(rulesReplica);
		return {
			...chosen,
			stops: [...ingress, ...onNft],
			local: own,
			source: "this host",
			notes: [
				...observation.findings.map(({ object, problem }) => `${object}: ${problem}`),
				...(limited === undefined ? [] : [`eBPF programs are not read: ${describeMissing(limited.missing)}`]),
				...interfaceNotes(chosen.interface, interfaces),
			],
			...(director === undefined ? {} : { director }),
			...(programReplica === undefined ? {} : { programReplica }),
			...(rulesReplica === undefined ? {} : { rulesReplica }),
			[Symbol.dispose]: close,
		};
	} catch (error) {
		close();
		throw error;
	}
}

/** If a namespace cannot be created, only the oracle answers, and the output says why. */
async function rulesReplicaOf(options: RulesReplicaOptions): Promise<RulesReplica | Error> {
	try {
		return await RulesReplica.of(options);
	} catch (error) {
		if (!isReplicaFailure(error)) throw error;
		return error;
	}
}

function nftRules(rules: readonly ObservedRule[]): Rule[] {
	return rules.filter(({ datapath }) => datapath === "nft").map(({ rule }) => rule);
}

/** What the rules of a configuration would do; needs no root. Throws L3dsrError (CONFIG_*, MODEL_*). */
export async function configuredSituation(
	env: Environment,
	files: SourceFiles,
	path: string,
	options: SituationOptions,
): Promise<Situation> {
	const loaded = await loadConfiguration(files, path, env);
	const { configuration, source } = loaded;
	const wanted = await wantedDirector(files, loaded);
	const [interfaces, local] = await Promise.all([listInterfaceAddresses(), localPrefixes()]);
	const named = (configuration.interfaces ?? []).filter(({ wildcard }) => !wildcard);
	const rules = configuration.services.flatMap((service) =>
		lowerService(service, {
			table: configuration.table,
			localOnly: true,
			signed: true,
			beside: configuration.services,
			...(configuration.interfaces === undefined ? {} : { interfaces: configuration.interfaces }),
		}),
	);
	const chosen = chooseInterface(options, interfaces, [
		...(wanted?.settings.interfaces ?? []).map((name) => ({
			name,
			because: "the director is configured there",
		})),
		...named.map(({ name }) => ({ name, because: HAS_RULES })),
	]);
	const director =
		wanted?.settings.interfaces.includes(chosen.interface) === true
			? (await import("./ask-director.ts")).DirectorOracle.configured(chosen.interface, wanted)
			: undefined;
	return {
		...chosen,
		...(director === undefined ? {} : { director }),
		stops: chainStops(rules, "configuration"),
		local: [...local, ...configuration.services.map(({ vip }) => hostPrefix(vip)), ...(options.local ?? [])],
		source,
		notes:
			director === undefined
				? []
				: [
						"the director is traced as if it had just started: every real server is healthy, and no flow is remembered; without -c, the running director is traced",
					],
		[Symbol.dispose](): void {},
	};
}

function interfaceNotes(name: string, interfaces: readonly AddressedInterface[]): string[] {
	if (name === "" || interfaces.some((one) => one.name === name)) return [];
	return [`there is no interface ${name} here: it is assumed to be Ethernet`];
}

const HAS_RULES = "it is the first that has rules";

function chooseInterface(
	{ interface: given, to }: SituationOptions,
	interfaces: readonly AddressedInterface[],
	preferred: readonly { readonly name: string; readonly because: string }[],
): Pick<Situation, "interface" | "interfaceBecause"> {
	if (given !== undefined) return { interface: given };
	const others = interfaces.filter(({ name }) => name !== "lo");
	const holder = others.find(({ addresses }) => addresses.some(({ address }) => address.text === to));
	if (holder !== undefined) return { interface: holder.name, interfaceBecause: `it holds ${to}` };
	const [first] = preferred;
	if (first !== undefined) return { interface: first.name, interfaceBecause: first.because };
	const global = others.find(({ addresses }) => addresses.some(({ scope }) => scope === "global"));
	if (global === undefined) return { interface: "", interfaceBecause: "no interface has a global address" };
	return { interface: global.name, interfaceBecause: "it is the first with a global address" };
}
