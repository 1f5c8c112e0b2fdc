/**
 * Further questions about a real server whose VIP did not answer, all asked at once: every other DSCP; the same code
 * by echo (a reply repeats the TOS byte that arrived); the service without a mark; and each hop of the path (an ICMP
 * error quotes the header as that hop received it).
 */
import { lookUpRoute, SyscallError } from "@l3dsr/linux";
import { type Address, type Dscp, dscp, sameAddress } from "@l3dsr/packet";
import type { ProbeTarget } from "../model/probe-target.ts";
import { isTimeExceeded } from "./answer.ts";
import type { Evidence } from "./explain.ts";
import type { Asker, Probe, ProbeOptions } from "./prober.ts";

const HOPS = 16;
const CODES: readonly Dscp[] = Array.from({ length: 64 }, (_, code) => dscp(code));

/** Asks the further questions; takes at most one timeout. */
export async function diagnose(prober: Asker, target: ProbeTarget, options: ProbeOptions): Promise<Evidence> {
	const { port: _, ...portless } = target;
	const codes = CODES.filter((code) => code !== target.dscp);
	const probes: Probe[] = [
		{ target: { ...target, dscp: dscp(0) } },
		{ target: { ...portless, protocol: "icmp" } },
		...Array.from({ length: HOPS }, (_, index) => ({ target, ttl: index + 1 })),
		...codes.map((code) => ({ target: { ...target, dscp: code } })),
	];
	const [unmarked, echo, ...rest] = await prober.ask(probes, options);
	if (!unmarked || !echo) throw new RangeError("every probe has an answer");
	return {
		unmarked,
		echo,
		isOwnAddress: isOwnAddress(target.real),
		hops: rest.slice(0, HOPS).flatMap((answer) => {
			if (answer.kind !== "icmp" || answer.dscp === undefined) return [];
			if (!isTimeExceeded(target.real.family, answer.type)) return [];
			return [{ router: answer.from, dscp: answer.dscp }];
		}),
		rewritten: rest.slice(HOPS).flatMap((answer, index) => {
			const code = codes[index];
			if (code === undefined || (answer.kind !== "accepted" && answer.kind !== "refused")) return [];
			return sameAddress(answer.from, target.real) ? [] : [{ dscp: code, by: answer.from }];
		}),
	};
}

/** The MTU of Ethernet, which most paths support. */
const LARGE_PACKET_BYTES = 1500;

/** An echo request of that size with the target's mark, which must not be fragmented. */
export function largeEcho({ port: _, ...portless }: ProbeTarget): Probe {
	const headerBytes = portless.real.family === "ipv4" ? 28 : 48;
	return {
		target: { ...portless, protocol: "icmp" },
		data: new Uint8Array(LARGE_PACKET_BYTES - headerBytes),
	};
}

function isOwnAddress({ bytes }: Address): boolean {
	try {
		return lookUpRoute({ destination: bytes }).type === "local";
	} catch (error) {
		if (error instanceof SyscallError) return false; // there is no route
		throw error;
	}
}
