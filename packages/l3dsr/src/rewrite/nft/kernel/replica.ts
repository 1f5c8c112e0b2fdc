/**
 * A copy of the rules that run on nft, in a network namespace of its own: what they do to a packet can be asked
 * of nft itself without a packet on this host's network, and without a count in anybody's counters.
 *
 * The copy is what the kernel holds, instruction for instruction, not what the rules' texts would compile to:
 * a rule that somebody has altered does in the copy what it does here.
 */

import {
	makeNftTable,
	type NftTableImage,
	readNftTable,
	rulesetGeneration,
	sameNftTable,
} from "@l3dsr/linux";
import type { Family } from "@l3dsr/packet";
import { L3dsrError } from "../../../errors.ts";
import { type Counters, type Rule, sameValue } from "../../../model/rule.ts";
import { nftFamily } from "../compile/statement.ts";
import { TABLE_NAME } from "../compile/table.ts";
import { NftDatapath } from "./nft.ts";
import {
	type ArrivingPacket,
	type Passage,
	ReplicaNetwork,
	type ReplicaNetworkOptions,
} from "./replica-network.ts";

const FAMILIES: readonly Family[] = ["ipv4", "ipv6"];
const READINGS = 8;

export interface RulesReplicaOptions extends ReplicaNetworkOptions {
	/** The rules that run on nft, as observed. */
	readonly rules: readonly Rule[];
}

export class RulesReplica implements Disposable {
	/** The copy's instructions are those that run. */
	readonly exact: boolean;
	readonly #network: ReplicaNetwork;
	readonly #datapath: NftDatapath;
	readonly #rules: readonly Rule[];

	private constructor(
		network: ReplicaNetwork,
		datapath: NftDatapath,
		rules: readonly Rule[],
		exact: boolean,
	) {
		this.#network = network;
		this.#datapath = datapath;
		this.#rules = rules;
		this.exact = exact;
	}

	/** Throws L3dsrError: KERNEL_*, PROGRAM_*, or DATAPATH_FOREIGN when `rules` are not what runs. */
	static async of(options: RulesReplicaOptions): Promise<RulesReplica> {
		const images = readTables();
		const network = await ReplicaNetwork.open(options);
		try {
			const exact = network.within(() => {
				for (const image of images) makeNftTable(image);
				return images.every((image) => {
					const copy = readNftTable(image.family, image.name);
					return copy !== undefined && sameNftTable(copy, image);
				});
			});
			const there = new Set(images.map(({ family }) => family));
			const datapath = new NftDatapath(network.programs, (family) => there.has(family));
			const { rules } = await datapath.observe();
			if (
				!sameValue(
					rules.map(({ rule }) => rule),
					options.rules,
				)
			)
				throw changedMeanwhile();
			return new RulesReplica(network, datapath, options.rules, exact);
		} catch (error) {
			network[Symbol.dispose]();
			throw error;
		}
	}

	/** What becomes of packets. Throws L3dsrError (KERNEL_SYSCALL). */
	run(packets: readonly ArrivingPacket[]): readonly Passage[] {
		return this.#network.send(packets);
	}

	/** What the copy has counted so far, for each rule in order. */
	async counted(): Promise<readonly { readonly rule: Rule; readonly counters: Counters }[]> {
		const { rules } = await this.#datapath.observe();
		return this.#rules.map((rule, index) => ({
			rule,
			counters: rules[index]?.counters ?? { packets: 0n, bytes: 0n },
		}));
	}

	[Symbol.dispose](): void {
		this.#network[Symbol.dispose]();
	}
}

/** Both tables as they are at one moment. */
function readTables(): readonly NftTableImage[] {
	for (let attempt = 0; attempt < READINGS; attempt++) {
		const generation = rulesetGeneration();
		const images = FAMILIES.flatMap((family) => readNftTable(nftFamily(family), TABLE_NAME) ?? []);
		if (rulesetGeneration() === generation) return images;
	}
	throw changedMeanwhile();
}

function changedMeanwhile(): L3dsrError {
	return new L3dsrError({
		code: "DATAPATH_FOREIGN",
		message: "copy the nft rules: they change while they are read",
		hint: "try again when nobody changes them",
	});
}
