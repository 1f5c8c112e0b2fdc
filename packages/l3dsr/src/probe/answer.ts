/** The answer to a probe and its meaning. Pure. */
import { type Address, type Dscp, type Family, sameAddress } from "@l3dsr/packet";
import type { ProbeTarget } from "../model/probe-target.ts";

/** The first answer. Times are in milliseconds since the packet was sent. */
export type Answer =
	/** A SYN+ACK, a datagram, an echo reply. */
	| { readonly kind: "accepted"; readonly from: Address; readonly afterMs: number; readonly dscp: Dscp }
	/** A TCP reset, or the ICMP error for a port without a listener, from the probed host. */
	| { readonly kind: "refused"; readonly from: Address; readonly afterMs: number; readonly dscp?: Dscp }
	| {
			readonly kind: "icmp";
			readonly from: Address;
			readonly afterMs: number;
			readonly type: number;
			readonly code: number;
			/** The DSCP of our packet as the sender of the error received it; needs raw sockets. */
			readonly dscp?: Dscp;
			/** The next link's MTU in bytes; our packet was larger. */
			readonly mtu?: number;
			/** The destination of our packet when the error was sent; not the probed address if it had been rewritten. */
			readonly about: Address;
	  }
	| { readonly kind: "none" }
	/** This host could not send the probe. */
	| { readonly kind: "unsent"; readonly errno: number };

/**
 * `vip`: as it should be. `real-address`: not rewritten. `other-address`: rewritten to something else. `refused`: a
 * reset, sent by `by`. `unreachable`: an ICMP error. `silence`: no answer in time.
 */
export type Outcome =
	| "vip"
	| "real-address"
	| "other-address"
	| "refused"
	| "unreachable"
	| "silence"
	| "unsent";

/** Which of the known addresses a packet came from. */
export type Who = "vip" | "real-address" | "other-address";

/** Who answered: the VIP, the probed real address, or another address. */
export function whoIs(target: ProbeTarget, from: Address): Who {
	// The VIP first: for `probe VIP --vip VIP` both addresses are the same.
	if (target.vip !== undefined && sameAddress(from, target.vip)) return "vip";
	if (sameAddress(from, target.real)) return "real-address";
	return target.vip === undefined ? "vip" : "other-address";
}

export function judgeAnswer(target: ProbeTarget, answer: Answer): Outcome {
	switch (answer.kind) {
		case "accepted":
			return whoIs(target, answer.from);
		case "icmp":
			return "unreachable";
		case "none":
			return "silence";
		default:
			return answer.kind;
	}
}

/** Codes of "destination unreachable" (RFC 792, 1812). */
const UNREACHABLE: Readonly<Record<number, string>> = {
	0: "network unreachable",
	1: "host unreachable",
	2: "protocol unreachable",
	3: "port unreachable",
	4: "fragmentation needed",
	9: "network prohibited",
	10: "host prohibited",
	11: "network unreachable for this TOS",
	12: "host unreachable for this TOS",
	13: "prohibited by a filter",
};

/** RFC 4443. */
const UNREACHABLE_V6: Readonly<Record<number, string>> = {
	0: "no route",
	1: "prohibited by a filter",
	2: "beyond the scope of the source",
	3: "address unreachable",
	4: "port unreachable",
	5: "source address refused by policy",
	6: "route rejected",
};

/** Text of an ICMP error of either family, such as `host unreachable`. */
export function icmpText(family: Family, type: number, code: number): string {
	const [unreachable, timeExceeded] = family === "ipv4" ? [3, 11] : [1, 3];
	const names = family === "ipv4" ? UNREACHABLE : UNREACHABLE_V6;
	if (type === unreachable) return names[code] ?? `unreachable, code ${code}`;
	if (type === timeExceeded) return "time to live exceeded";
	return `ICMP type ${type}, code ${code}`;
}

/** "Port unreachable", which is to UDP what a reset is to TCP. */
export function isPortUnreachable(family: Family, type: number, code: number): boolean {
	return family === "ipv4" ? type === 3 && code === 3 : type === 1 && code === 4;
}

export function isTimeExceeded(family: Family, type: number): boolean {
	return type === (family === "ipv4" ? 11 : 3);
}
