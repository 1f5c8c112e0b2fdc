/** Passes packets through the rules, and asks the kernel about each. */
import { LinuxError } from "@l3dsr/linux";
import { parsePacket } from "@l3dsr/packet";
import type { ProgramReplica } from "../../rewrite/ebpf/kernel/replica.ts";
import type { PacketContext } from "../../rewrite/oracle/oracle.ts";
import type { AskedDirector } from "./ask-director.ts";
import { askNft } from "./ask-nft.ts";
import type { InputPacket, OtherFrame } from "./input-packet.ts";
import { type Journey, type StopResult, travel } from "./journey.ts";
import { samePacket } from "./same-packet.ts";
import type { PacketMeta, Situation } from "./situation.ts";
import type { KernelRecord, Traced } from "./traced.ts";

export interface TracedAll {
	/** In the order of the input. */
	readonly results: readonly (Traced | OtherFrame)[];
	/** On nft, the copy counted other packets than the oracle. */
	readonly nftCountersDiffer: boolean;
}

/** A capture, or the one packet. Throws L3dsrError (PROGRAM_FAILED). */
export async function traceAll(
	inputs: readonly (InputPacket | OtherFrame)[],
	situation: Situation,
	meta: PacketMeta,
): Promise<TracedAll> {
	const results = inputs.map((input) => ("notIp" in input ? input : trace(input, situation, meta)));
	const { records, countersDiffer } = await askNft(
		results.flatMap((result) => ("notIp" in result ? [] : [result])),
		situation,
	);
	return {
		results: results.map((result) => {
			const record = "notIp" in result ? undefined : records.get(result);
			if ("notIp" in result || record === undefined) return result;
			return { ...result, kernel: [...result.kernel, record] };
		}),
		nftCountersDiffer: countersDiffer,
	};
}

function trace(input: InputPacket, situation: Situation, meta: PacketMeta): Traced {
	// The loopback is not an Ethernet device: no rule by sender matches there.
	const sourceMac = situation.interface === "lo" ? undefined : (meta.sourceMac ?? input.sourceMac);
	const context: PacketContext = {
		inInterface: situation.interface,
		outInterface: "",
		mark: meta.mark,
		local: situation.local,
		...(sourceMac === undefined ? {} : { sourceMac }),
	};
	const asked = situation.director?.ask(input, sourceMac);
	const journey =
		asked === undefined ? travel(input.bytes, situation.stops, context) : directed(input, asked);
	const ingress = journey.stops.find(({ stop }) => stop.datapath === "ebpf");
	const kernel =
		situation.programReplica === undefined || ingress === undefined
			? []
			: [askProgram(situation.programReplica, ingress, context)];
	return { input, journey, kernel, context, ...(asked === undefined ? {} : { director: asked.answer }) };

	/** The rules see the packet as the director left it, if they see it at all. */
	function directed({ bytes }: InputPacket, { answer, bytes: left, goesOn }: AskedDirector): Journey {
		const journey = travel(left, goesOn ? situation.stops : [], context);
		const arrived = parsePacket(bytes);
		if (typeof arrived === "string") return journey;
		const rewritten = journey.rewritten || answer.outcome === "forward";
		return { ...journey, before: bytes, packet: arrived, rewritten, local: journey.local && goesOn };
	}
}

function askProgram(
	replica: ProgramReplica,
	{ before, after }: StopResult,
	context: PacketContext,
): KernelRecord {
	const record = {
		datapath: "ebpf",
		place: replica.place,
		programId: replica.id,
		exact: replica.exact,
	} as const;
	try {
		const bytes = replica.run(before, context);
		if (samePacket(bytes, after)) return { ...record, answer: "same" };
		return { ...record, answer: "different", bytes: Buffer.from(bytes).toString("hex") };
	} catch (error) {
		if (!(error instanceof LinuxError)) throw error;
		return { ...record, answer: "not asked", why: error.message };
	}
}
