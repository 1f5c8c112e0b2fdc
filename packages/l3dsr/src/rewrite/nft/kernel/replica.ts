/**
 * A copy, in a separate network namespace, of the rules that run on nft: the kernel can show what they do to a packet
 * without a packet on this host's network and without changing the real counters.
 *
 * The copy is what the kernel holds, instruction by instruction, not what the rules' texts would compile to: a rule
 * that was altered behaves in the copy as it does here.
 */

import { LinuxError } from "@l3dsr/linux";
import { copyTable, Nftables, NftablesError, sameTable } from "@l3dsr/nftables";
import { L3dsrError } from "../../../errors.ts";
import { type Counters, type Rule, sameValue } from "../../../model/rule.ts";
import { tableOf } from "../compile/table.ts";
import { NftDatapath } from "./nft.ts";
import {
	type ArrivingPacket,
	type Passage,
	ReplicaNetwork,
	type ReplicaNetworkOptions,
} from "./replica-network.ts";

const TABLES = [tableOf("ipv4"), tableOf("ipv6")];

export interface RulesReplicaOptions extends ReplicaNetworkOptions {
	/** The rules that run on nft, as observed. */
	readonly rules: readonly Rule[];
}

export class RulesReplica implements Disposable {
	/** True if the copy's instructions are those that run. */
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

	/** Throws NftablesError, and L3dsrError: KERNEL_*, PROGRAM_*, or DATAPATH_FOREIGN if `rules` are not what runs. */
	static async of(options: RulesReplicaOptions): Promise<RulesReplica> {
		const tables = readTables();
		const network = await ReplicaNetwork.open(options);
		try {
			const open = (): Nftables => network.within(() => new Nftables());
			using there = open();
			there.transact(tables.flatMap(copyTable));
			const copies = there.read(TABLES).tables;
			const exact = tables.every((table, index) => {
				const copy = copies[index];
				return copy !== undefined && sameTable(copy, table);
			});
			const datapath = new NftDatapath(open);
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

	/** What becomes of packets. Throws the errors that {@link isReplicaFailure} accepts. */
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

/** True if the kernel does not accept the rules or the packets, or does not let us make the copy. */
export function isReplicaFailure(error: unknown): error is Error {
	return error instanceof L3dsrError || error instanceof LinuxError || error instanceof NftablesError;
}

function readTables(): ReturnType<Nftables["read"]>["tables"] {
	using here = new Nftables();
	return here.read(TABLES).tables;
}

function changedMeanwhile(): L3dsrError {
	return new L3dsrError({
		code: "DATAPATH_FOREIGN",
		message: "copy the nft rules: they changed while they were read",
		hint: "try again when nothing changes them",
	});
}
