/** The claims that the lab tests, each with what was seen: from evidence to verdicts. Pure. */
import { dscp as dscpOf, formatDscp, isDscp } from "@l3dsr/packet";
import type { LabEvidence, Tally, TrafficKind, VipTraffic, Volume } from "./evidence.ts";
import { OTHER_DSCP, REAL_SERVERS } from "./layout.ts";

export const CLAIMS = {
	datapath: "the rules are in force on the real servers, on the requested datapath",
	"client-peer": "every answer comes from the requested VIP, over TCP, UDP and ICMP",
	"bulk-intact": "downloads arrive whole",
	"fragments-intact": "fragmented datagrams arrive whole, both ways",
	"director-marks":
		"the directors send every request on to a real server's own address, marked with its VIP's DSCP",
	"director-one-way": "the directors forward the requests, and not one byte of the answers",
	"directors-share": "the router shares the requests among both directors",
	"both-serve": "both real servers serve every VIP",
	"other-dscp": "a packet with another DSCP is left alone",
	"rules-needed": "without the rules no VIP answers",
	"rules-mend": "with the rules back every VIP answers again",
	"captures-complete": "the captures missed nothing",
} as const;

export type ClaimId = keyof typeof CLAIMS;

export interface Claim {
	readonly id: ClaimId;
	readonly claim: string;
	readonly held: boolean;
	/** What was seen, in one line: numbers if the claim held, else the first contradiction. */
	readonly evidence: string;
}

/** A claim holds unless `judge` finds a contradiction. */
type Judge = (evidence: LabEvidence) => { readonly contradiction?: string; readonly evidence: string };

const JUDGES: Readonly<Record<ClaimId, Judge>> = {
	datapath: ({ datapath, datapathsInForce }) => ({
		...firstOf(
			datapathsInForce.length === 0 ? "no rules are in force" : undefined,
			datapath !== "auto" && datapathsInForce.some((name) => name !== datapath)
				? `asked for ${datapath}, they run on ${datapathsInForce.join(", ")}`
				: undefined,
		),
		evidence: datapathsInForce.join(", "),
	}),
	"client-peer": ({ traffic }) => ({
		...firstOf(
			untried(traffic),
			...eachTally(traffic, (tally, kind, { vip }) => {
				if (tally.answered < tally.asked) {
					const lost = tally.asked - tally.answered;
					return `${lost} of ${tally.asked} ${KIND_NAMES[kind]} to ${vip} not answered: ${tally.failure ?? "?"}`;
				}
				if (tally.fromVip < tally.answered) {
					return `${tally.answered - tally.fromVip} ${KIND_NAMES[kind]} to ${vip} answered from elsewhere`;
				}
				return undefined;
			}),
		),
		evidence: KINDS.map((kind) => `${sum(traffic, kind, "answered")} ${KIND_NAMES[kind]}`).join(", "),
	}),
	"bulk-intact": ({ traffic }) => ({
		...notIntact(traffic, "download"),
		evidence: `${megabytes(sum(traffic, "download", "bytes"))} in ${sum(traffic, "download", "intact")} downloads, checked by SHA-256`,
	}),
	"fragments-intact": ({ traffic }) => ({
		...notIntact(traffic, "fragmented"),
		...firstOf(
			...traffic.map(({ vip, fragments }) =>
				fragments === 0 ? `no fragment on its way to ${vip} was seen` : undefined,
			),
		),
		evidence: `${sum(traffic, "fragmented", "intact")} datagrams echoed byte for byte, in ${traffic.reduce((n, { fragments }) => n + fragments, 0)} fragments there`,
	}),
	"director-marks": ({ traffic }) => ({
		...firstOf(
			untried(traffic),
			...traffic.flatMap(({ vip, dscp, directorIn, directorOut, toRealServers }) => [
				directorIn.packets === 0 ? `no packet to ${vip} came to a director` : undefined,
				sameVolume(directorIn, directorOut)
					? undefined
					: `${volume(directorIn)} to ${vip} in, but ${volume(directorOut)} with DSCP ${dscpText(dscp)} out`,
				sameVolume(directorOut, toRealServers)
					? undefined
					: `${volume(directorOut)} for ${vip} sent, but ${volume(toRealServers)} with DSCP ${dscpText(dscp)} reached the real servers`,
			]),
		),
		evidence: traffic.map(({ vip, dscp }) => `${vip} = DSCP ${dscp}`).join(", "),
	}),
	"director-one-way": ({ traffic, strays }) => ({
		...firstOf(
			strays.answers.packets > 0 ? `${volume(strays.answers)} of answers came to the directors` : undefined,
			strays.others.packets > 0
				? `${volume(strays.others)} other than requests reached the directors`
				: undefined,
			total(traffic, "answers").bytes === 0 ? "there were no answers" : undefined,
		),
		evidence: `${volume(total(traffic, "directorOut"))} of requests forwarded, ${volume(total(traffic, "answers"))} of answers went past it`,
	}),
	"directors-share": ({ shares }) => ({
		...firstOf(
			untried(shares),
			...shares.map(({ director, requests }) =>
				requests.packets === 0 ? `no request came to ${director}` : undefined,
			),
		),
		evidence: shares.map(({ director, requests }) => `${director} ${volume(requests)}`).join(", "),
	}),
	"both-serve": ({ traffic }) => ({
		...firstOf(
			untried(traffic),
			...traffic.flatMap(({ vip, tallies }) =>
				REAL_SERVERS.map((server) =>
					tallies.http.servers[server] === 0 ? `${server} answered no HTTP request to ${vip}` : undefined,
				),
			),
		),
		evidence: REAL_SERVERS.map((server) => {
			const answers = traffic.reduce(
				(n, { tallies }) => n + KINDS.reduce((m, kind) => m + tallies[kind].servers[server], 0),
				0,
			);
			return `${server} gave ${answers} answers`;
		}).join(", "),
	}),
	"other-dscp": ({ otherDscp }) => ({
		...firstOf(
			untried(otherDscp),
			...otherDscp.flatMap(({ server, dscp, destinations, reach }) => [
				reach.http && reach.udp
					? undefined
					: `${server} did not answer from ${reach.address}: ${reach.failure ?? "?"}`,
				dscp.length === 1 && dscp[0] === OTHER_DSCP
					? undefined
					: `packets to ${reach.address} came with DSCP ${dscp.join(", ") || "?"}, not ${OTHER_DSCP}`,
				[...destinations, ...reach.askedAt].every((other) => other === reach.address)
					? undefined
					: `${server} was asked at ${reach.askedAt.join(", ")} instead of ${reach.address}`,
			]),
		),
		evidence: `DSCP ${formatDscp(OTHER_DSCP)} to ${otherDscp.map(({ reach }) => reach.address).join(", ")}: answered from there`,
	}),
	"rules-needed": ({ withoutRules }) => ({
		...firstOf(
			untried(withoutRules),
			...withoutRules.map(({ address, http, udp }) => (http || udp ? `${address} still answers` : undefined)),
		),
		evidence: `no HTTP; datagrams answered from ${[...new Set(withoutRules.map(({ udpPeer }) => udpPeer ?? "nowhere"))].join(", ")}`,
	}),
	"rules-mend": ({ rulesAgain }) => ({
		...firstOf(
			untried(rulesAgain),
			...rulesAgain.map(({ address, http, udp, failure }) =>
				http && udp ? undefined : `${address} does not answer: ${failure ?? "?"}`,
			),
		),
		evidence: `${rulesAgain.length} VIPs answer HTTP and UDP after restoring what was saved`,
	}),
	"captures-complete": ({ dropped }) => ({
		...firstOf(dropped > 0 ? `${dropped} frames were not captured` : undefined),
		evidence: "0 frames dropped",
	}),
};

/** Every claim with its verdict, in the order of CLAIMS. */
export function judge(evidence: LabEvidence): Claim[] {
	return (Object.keys(CLAIMS) as ClaimId[]).map((id) => {
		const verdict = JUDGES[id](evidence);
		return {
			id,
			claim: CLAIMS[id],
			held: verdict.contradiction === undefined,
			evidence: verdict.contradiction ?? verdict.evidence,
		};
	});
}

const KIND_NAMES: Readonly<Record<TrafficKind, string>> = {
	http: "HTTP requests",
	download: "downloads",
	udp: "datagrams",
	fragmented: "fragmented datagrams",
	ping: "pings",
};
const KINDS = Object.keys(KIND_NAMES) as TrafficKind[];

/** Bytes in a readable unit: `3.2 kB`. */
export function megabytes(bytes: number): string {
	if (bytes < 1000) return `${bytes} bytes`;
	return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function firstOf(...contradictions: readonly (string | undefined)[]): { contradiction?: string } {
	const contradiction = contradictions.find((found) => found !== undefined);
	return contradiction === undefined ? {} : { contradiction };
}

/** A claim about an empty list is not proved. */
function untried(tried: readonly unknown[]): string | undefined {
	return tried.length === 0 ? "it was not tried" : undefined;
}

function notIntact(traffic: readonly VipTraffic[], kind: TrafficKind): { contradiction?: string } {
	return firstOf(
		untried(traffic),
		...traffic.map(({ vip, tallies: { [kind]: tally } }) =>
			tally.intact < tally.asked
				? `${tally.asked - tally.intact} of ${tally.asked} ${KIND_NAMES[kind]} at ${vip} did not arrive whole`
				: undefined,
		),
	);
}

function eachTally<T>(
	traffic: readonly VipTraffic[],
	look: (tally: Tally, kind: TrafficKind, vip: VipTraffic) => T,
): T[] {
	return traffic.flatMap((vip) => KINDS.map((kind) => look(vip.tallies[kind], kind, vip)));
}

function sum(
	traffic: readonly VipTraffic[],
	kind: TrafficKind,
	field: "answered" | "intact" | "bytes",
): number {
	return traffic.reduce((n, { tallies }) => n + tallies[kind][field], 0);
}

function total(traffic: readonly VipTraffic[], field: "directorOut" | "answers"): Volume {
	return traffic.reduce(
		(all, { [field]: { packets, bytes } }) => ({ packets: all.packets + packets, bytes: all.bytes + bytes }),
		{ packets: 0, bytes: 0 },
	);
}

function sameVolume(a: Volume, b: Volume): boolean {
	return a.packets === b.packets && a.bytes === b.bytes;
}

function volume({ packets, bytes }: Volume): string {
	return `${packets} packets (${megabytes(bytes)})`;
}

function dscpText(value: number): string {
	return isDscp(value) ? formatDscp(dscpOf(value)) : String(value);
}
