/** Compares the results of `l3dsr probe` for a host with real sockets on the same director. */
import type { Card, Host } from "./host.ts";
import type { Outcome } from "./peer.ts";
import type { Family } from "./stage.ts";

/** A way to probe a real server. */
export interface ProbeWay {
	readonly family: Family;
	readonly card: Card;
	readonly protocol: "tcp" | "udp";
	/** `--connect`. */
	readonly connects: boolean;
}

/** One of each protocol and family, with connections and without. */
export const PROBE_WAYS: readonly ProbeWay[] = [
	{ family: "ipv4", card: "eth0", protocol: "tcp", connects: false },
	{ family: "ipv4", card: "eth1", protocol: "tcp", connects: true },
	{ family: "ipv4", card: "eth0", protocol: "udp", connects: false },
	{ family: "ipv6", card: "eth0", protocol: "tcp", connects: true },
];

export interface ProbeRecord {
	readonly ok: boolean;
	readonly outcome: string;
	readonly answeredBy?: string;
	readonly found: readonly string[];
	readonly causes: readonly string[];
}

/** Outcomes of the director's sockets, which sent requests through its rules or around them. */
export interface Met {
	/** Of a socket that sent to the VIP. */
	readonly vip: Outcome;
	/** Of a socket that sent to the real address, without a mark. */
	readonly real: Outcome;
}

/** False results of the probe. */
export function falseOfProbe(host: Host, way: ProbeWay, said: ProbeRecord, met: Met): string[] {
	const as = `probe ${way.protocol}${way.connects ? " --connect" : ""} over ${way.family} by ${way.card}`;
	const wrong: string[] = [];
	if (!outcomesOf(said, way).includes(met.vip)) wrong.push(`${as} says ${said.outcome}, sockets ${met.vip}`);
	for (const fact of said.found) {
		const real = realOutcomes(fact);
		if (real !== undefined && !real.includes(met.real))
			wrong.push(`${as} found "${fact}", sockets ${met.real}`);
	}
	const cause = causeOf(host, way);
	if (cause !== undefined && !said.causes.some((one) => cause.test(one))) {
		wrong.push(`${as} does not name ${cause}: ${said.outcome}, ${JSON.stringify(said.causes)}`);
	}
	return wrong;
}

/** Possible outcomes for a socket that sends to the VIP, given this result of the probe. */
function outcomesOf({ outcome, answeredBy }: ProbeRecord, { protocol, connects }: ProbeWay): Outcome[] {
	switch (outcome) {
		case "vip":
			// Its first packet is answered; a whole connection gets data too.
			return protocol === "tcp" && !connects ? ["answered", "connected"] : ["answered"];
		case "handshake-ignored":
			return ["connected"];
		case "connection-reset":
			return ["reset", "connected"];
		case "refused":
			return answeredBy?.startsWith("10.") && !answeredBy.endsWith(".100")
				? ["silence"]
				: ["refused", "silence"];
		case "unreachable":
			return ["unreachable", "silence"];
		case "real-address":
		case "other-address":
			return ["silence", "refused"];
		default:
			return ["silence", "unreachable"];
	}
}

/**
 * Possible outcomes for a socket that sends to the real address, given this cause; undefined: not determined.
 */
function realOutcomes(found: string): Outcome[] | undefined {
	if (/^without a mark, .* answers/.test(found)) return ["answered", "connected", "refused"];
	if (/^the service answers at /.test(found)) return ["answered", "connected"];
	if (found === "no answer without a mark either") return ["silence", "unreachable"];
	return undefined;
}

/** The cause that the probe must name, if it is the only fault and visible from outside. */
function causeOf(host: Host, { protocol, connects }: ProbeWay): RegExp | undefined {
	const listening = host[protocol];
	const deaf = listening === "real" || listening === "other" || listening === "none";
	const faults: (RegExp | undefined)[] = [
		host.change === "none"
			? undefined
			: host.change === "address"
				? /does not hold|is not reachable there/
				: /$/,
		host.vips === "up" ? undefined : /$/,
		host.policy === "none" || host.policy === "mark" ? undefined : /$/,
		host.firewall === "none"
			? undefined
			: host.firewall === "remark"
				? host.datapath === "nft"
					? /the DSCP is changed on the way/
					: undefined
				: host.firewall === "drop"
					? /filter/
					: /$/,
		deaf ? (listening === "real" ? /does not listen on the VIP/ : /nothing listens there/) : undefined,
		listening === "ipv6" ? /$/ : undefined,
		protocol === "udp" && (listening === "any" || listening === "both") ? /IP_PKTINFO/ : undefined,
		// A rule that changes the DSCP again leaves no code to reflect.
		host.reflectTos && host.firewall !== "remark" && protocol === "tcp" && connects && !deaf
			? /tcp_reflect_tos/
			: undefined,
	];
	const [only, ...others] = faults.filter((one) => one !== undefined);
	return others.length === 0 && only?.source !== "$" ? only : undefined;
}
