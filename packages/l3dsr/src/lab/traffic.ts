/** The client's requests, and tallies of their results. */
import type { Address } from "@l3dsr/packet";
import { type Reach, type Tally, TRAFFIC_KINDS, type TrafficKind } from "./evidence.ts";
import type { Lab } from "./lab.ts";
import { HTTP_PORT, REAL_SERVERS, type RealServer, UDP_PORT } from "./layout.ts";
import { BULK_PATH, pattern, sha256 } from "./services.ts";

/** How long to wait for an answer; an emulated machine may need much of it. */
export const WITHIN_MS = 20_000;
/** For requests that may have no answer at all. */
export const FAILS_WITHIN_MS = 500;

/** With this many connections, it happens only once in 2^23 runs, over all VIPs, that all hash to one real server. */
const HTTP_REQUESTS = 24;
const DATAGRAMS = 8;
const FRAGMENTED_DATAGRAMS = 4;
const PINGS = 2;
const DOWNLOAD_BYTES = 4_000_000;
const DATAGRAM_BYTES = 64;
/** Does not fit into two Ethernet frames. */
const LARGE_DATAGRAM_BYTES = 4000;

/** The result of one request. */
interface Outcome {
	readonly answered: boolean;
	readonly fromVip: boolean;
	readonly intact: boolean;
	readonly bytes: number;
	readonly server?: string;
	readonly failure?: string;
}

/** What to send requests to, from the client of which lab. */
interface Asking {
	readonly lab: Lab;
	readonly address: string;
	readonly withinMs: number;
}

type Question = () => Promise<Outcome>;

/**
 * Sends all kinds of traffic to one VIP, one kind after the other; gives up a kind at its first request without an
 * answer.
 */
export async function askOften(
	lab: Lab,
	vip: Address,
	withinMs: number,
): Promise<Record<TrafficKind, Tally>> {
	const asking: Asking = { lab, address: vip.text, withinMs };
	const expected = sha256(pattern(DOWNLOAD_BYTES));
	const questions: Record<TrafficKind, [number, Question]> = {
		http: [HTTP_REQUESTS, () => httpOutcome(asking, "/", undefined)],
		download: [1, () => httpOutcome(asking, `${BULK_PATH}${DOWNLOAD_BYTES}`, expected)],
		udp: [DATAGRAMS, () => udpOutcome(asking, DATAGRAM_BYTES)],
		fragmented: [FRAGMENTED_DATAGRAMS, () => udpOutcome(asking, LARGE_DATAGRAM_BYTES)],
		ping: [PINGS, () => pingOutcome(asking)],
	};
	const tallies = await Promise.all(
		TRAFFIC_KINDS.map(async (kind) => [kind, await tallyOf(...questions[kind])] as const),
	);
	const [http, download, udp, fragmented, ping] = tallies.map(([, tally]) => tally);
	if (!http || !download || !udp || !fragmented || !ping)
		throw new RangeError("a kind of traffic is missing");
	return { http, download, udp, fragmented, ping };
}

/** Sends one HTTP request and one datagram. */
export async function reach(lab: Lab, address: string, timeoutMs: number): Promise<Reach> {
	const client = lab.worker("client");
	const [http, udp] = await Promise.all([
		client.call("http", { address, port: HTTP_PORT, path: "/", timeoutMs }),
		client.call("udp", { address, port: UDP_PORT, bytes: DATAGRAM_BYTES, timeoutMs }),
	]);
	const fromThere = udp.answered && udp.answer.peer === address;
	const failure = !http.answered
		? `HTTP: ${http.reason}`
		: !udp.answered
			? `UDP: ${udp.reason}`
			: fromThere
				? undefined
				: `UDP: answered from ${udp.answer.peer}`;
	const askedAt = [
		http.answered ? http.answer.introduction?.local : undefined,
		udp.answered ? udp.answer.introduction.local : undefined,
	].filter((local) => local !== undefined);
	return {
		address,
		http: http.answered && http.answer.peer === address,
		udp: fromThere,
		...(udp.answered ? { udpPeer: udp.answer.peer } : {}),
		askedAt: [...new Set(askedAt)],
		...(failure === undefined ? {} : { failure }),
	};
}

async function tallyOf(count: number, ask: Question): Promise<Tally> {
	const servers: Record<RealServer, number> = { real1: 0, real2: 0 };
	const tally = { asked: count, answered: 0, fromVip: 0, intact: 0, bytes: 0 };
	for (let i = 0; i < count; i++) {
		const { answered, fromVip, intact, bytes, server, failure } = await ask();
		if (!answered) return { ...tally, servers, failure: failure ?? "no answer" };
		tally.answered++;
		tally.bytes += bytes;
		if (fromVip) tally.fromVip++;
		if (intact) tally.intact++;
		const known = REAL_SERVERS.find((name) => name === server);
		if (known !== undefined) servers[known]++;
	}
	return { ...tally, servers };
}

async function httpOutcome(
	{ lab, address, withinMs }: Asking,
	path: string,
	expectedSha256: string | undefined,
): Promise<Outcome> {
	const reply = await lab
		.worker("client")
		.call("http", { address, port: HTTP_PORT, path, timeoutMs: withinMs });
	if (!reply.answered) return lost(reply.reason);
	const { peer, bytes, introduction, sha256: received, server } = reply.answer;
	return {
		answered: true,
		// The service must also have been asked at the VIP.
		fromVip: peer === address && (introduction === undefined || introduction.local === address),
		intact: expectedSha256 === undefined ? introduction !== undefined : received === expectedSha256,
		bytes,
		server: server ?? introduction?.server ?? "",
	};
}

async function udpOutcome({ lab, address, withinMs }: Asking, bytes: number): Promise<Outcome> {
	const reply = await lab
		.worker("client")
		.call("udp", { address, port: UDP_PORT, bytes, timeoutMs: withinMs });
	if (!reply.answered) return lost(reply.reason);
	const { peer, introduction, echoed } = reply.answer;
	return {
		answered: true,
		fromVip: peer === address && introduction.local === address,
		intact: echoed,
		bytes,
		server: introduction.server,
	};
}

/** ping(8) prints `64 bytes from ADDRESS: …` for an answer, and fails without one. */
async function pingOutcome({ lab, address, withinMs }: Asking): Promise<Outcome> {
	const output = await lab.tryRun("client", [
		"ping",
		"-n",
		"-c",
		"1",
		"-W",
		String(withinMs / 1000),
		address,
	]);
	const peer = /^(\d+) bytes from ([0-9a-f.:]+?): /m.exec(output);
	if (peer === null) return lost("no echo reply");
	return { answered: true, fromVip: peer[2] === address, intact: true, bytes: Number(peer[1]) };
}

function lost(failure: string): Outcome {
	return { answered: false, fromVip: false, intact: false, bytes: 0, failure };
}
