/** Follows one connection through the lab: where its first packet was seen, and the first packet of its answer. */
import type { Address } from "@l3dsr/packet";
import type { Journey, Station } from "./evidence.ts";
import type { Lab } from "./lab.ts";
import { DIRECTORS, HOSTS, type Host, HTTP_PORT, REAL_SERVERS, type VirtualAddress } from "./layout.ts";
import type { HttpAnswer, Reply } from "./requests.ts";
import type { Seen, Sighting } from "./sighting.ts";

/** Sends one request to each VIP, all at the same time, and reads the captures (`take`). */
export async function followJourneys(
	lab: Lab,
	vips: readonly VirtualAddress[],
	withinMs: number,
	take: () => Promise<Seen>,
): Promise<Journey[]> {
	await take(); // discard older packets
	const replies = await Promise.all(
		vips.map(async ({ vip }) => ({ vip, reply: await askOnce(lab, vip, withinMs) })),
	);
	const seen = await take();
	return replies.map(({ vip, reply }) => journeyOf(vip, reply, seen));
}

async function askOnce(lab: Lab, vip: Address, timeoutMs: number): Promise<Reply<HttpAnswer>> {
	const question = { address: vip.text, port: HTTP_PORT, path: "/", timeoutMs };
	return await lab.worker("client").call("http", question);
}

function journeyOf(vip: Address, reply: Reply<HttpAnswer>, seen: Seen): Journey {
	const opening = seen.client.find(
		({ direction, opens, destination }) =>
			direction === "out" && opens === "connection" && destination === vip.text,
	);
	const port = opening?.sourcePort;
	// Connections of both families may use the same port.
	const ours = ({ source }: Sighting) => source.includes(":") === vip.text.includes(":");
	const request = stationsOf(
		seen,
		["client", "router", ...DIRECTORS, "router", ...REAL_SERVERS],
		(sighting) => sighting.opens === "connection" && sighting.sourcePort === port && ours(sighting),
	);
	const answer = stationsOf(
		seen,
		[...REAL_SERVERS, ...DIRECTORS, "router", "client"],
		(sighting) => sighting.opens === "answer" && sighting.destinationPort === port && ours(sighting),
	);
	const introduction = reply.answered ? reply.answer.introduction : undefined;
	if (introduction === undefined) {
		const failure = reply.answered ? "the answer does not say who gave it" : reply.reason;
		return { family: vip.family, vip: vip.text, failure, request, answer };
	}
	const service: Station = {
		host: introduction.server,
		at: "service",
		source: introduction.peer,
		destination: introduction.local,
	};
	const server = REAL_SERVERS.find((name) => name === introduction.server);
	return {
		family: vip.family,
		vip: vip.text,
		...(server === undefined ? {} : { server }),
		request: [...request, service],
		answer,
	};
}

/**
 * The packet's sightings in the order of `way`. A host that only forwards the packet is one station; if `way` names a
 * host twice, its first passage goes to the first place and its second to the second.
 */
function stationsOf(seen: Seen, way: readonly Host[], isPacket: (sighting: Sighting) => boolean): Station[] {
	const left = new Map(HOSTS.map((host) => [host, firstPerDevice(seen[host].filter(isPacket))]));
	return way.flatMap((host) => {
		const sightings = left.get(host) ?? [];
		if (host !== "router") return sightings.map((sighting) => station(host, deviceOf(sighting), sighting));
		const passage = passageOf(sightings);
		left.set(
			host,
			sightings.filter((sighting) => !passage.includes(sighting)),
		);
		const [into, out] = passage;
		if (into === undefined) return [];
		return [station(host, out === undefined ? deviceOf(into) : `${into.device} → ${out.device}`, into)];
	});
}

/** A retransmission passes a device again; keep the first packet. */
function firstPerDevice(sightings: readonly Sighting[]): Sighting[] {
	const first = new Map<string, Sighting>();
	for (const sighting of sightings) {
		const key = `${sighting.device} ${sighting.direction}`;
		if (!first.has(key)) first.set(key, sighting);
	}
	return [...first.values()];
}

/**
 * In and out of the router with unchanged addresses. On the way to the VIP, the client's packet comes before the
 * director's.
 */
function passageOf(sightings: readonly Sighting[]): Sighting[] {
	const into = sightings.find(({ direction }) => direction === "in");
	if (into === undefined) return [];
	const out = sightings.find(
		({ direction, destination }) => direction === "out" && destination === into.destination,
	);
	return out === undefined ? [into] : [into, out];
}

function deviceOf({ direction, device }: Sighting): string {
	return `${direction} ${device}`;
}

function station(host: Host, at: string, { source, destination, dscp }: Sighting): Station {
	return { host, at, source, destination, dscp };
}
