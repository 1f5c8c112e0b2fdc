/** One run through the lab: the requests and observations in order. It gathers evidence; claims.ts judges it. */
import type { Family } from "@l3dsr/packet";
import { type Claim, judge } from "./claims.ts";
import {
	type DirectorStrays,
	type Journey,
	type LabEvidence,
	type OtherDscp,
	type Reach,
	TRAFFIC_KINDS,
	type VipTraffic,
	volumeOf,
} from "./evidence.ts";
import { followJourneys } from "./journey.ts";
import type { Lab } from "./lab.ts";
import {
	addressOf,
	DIRECTORS,
	FAMILIES,
	HOSTS,
	type Host,
	LINKS,
	REAL_SERVERS,
	VIPS,
	type VirtualAddress,
} from "./layout.ts";
import type { Seen, Sighting } from "./sighting.ts";
import { askOften, FAILS_WITHIN_MS, reach, WITHIN_MS } from "./traffic.ts";

export interface StoryOptions {
	/** False leaves out the rules, to see which claims then fail. */
	readonly rules: boolean;
	/** Stops the story between two steps. */
	readonly signal: AbortSignal;
	/** Called with each chapter when it is complete. */
	readonly tell: (chapter: Chapter) => void;
}

export type Chapter =
	| { readonly kind: "journeys"; readonly journeys: readonly Journey[] }
	| { readonly kind: "traffic"; readonly traffic: readonly VipTraffic[]; readonly strays: DirectorStrays }
	| { readonly kind: "other-dscp"; readonly otherDscp: readonly OtherDscp[] }
	| {
			readonly kind: "without-rules";
			readonly withoutRules: readonly Reach[];
			readonly rulesAgain: readonly Reach[];
	  };

export interface StoryResult {
	readonly evidence: LabEvidence;
	readonly claims: readonly Claim[];
}

/** Runs the story in an open lab without rules. Throws what the lab's parts throw, or the signal's reason. */
export async function runStory(lab: Lab, { rules, signal, tell }: StoryOptions): Promise<StoryResult> {
	const captured = new Captured(lab);
	if (rules) await lab.addRules();

	const datapathsInForce = await lab.datapathsInForce();
	// Do not wait long for an answer that is not expected.
	const withinMs = rules ? WITHIN_MS : FAILS_WITHIN_MS;

	signal.throwIfAborted();
	const journeys = await followJourneys(lab, FAMILIES.map(firstVip), withinMs, () => captured.takeSettled());
	tell({ kind: "journeys", journeys });

	signal.throwIfAborted();
	const tallies = await Promise.all(VIPS.map(async ({ vip }) => await askOften(lab, vip, withinMs)));
	const seen = await captured.takeSettled();
	const traffic = VIPS.map((vip, index): VipTraffic => {
		const [http, download, udp, fragmented, ping] = TRAFFIC_KINDS.map((kind) => tallies[index]?.[kind]);
		if (!http || !download || !udp || !fragmented || !ping)
			throw new RangeError("a kind of traffic is missing");
		return { ...volumesOf(vip, seen), tallies: { http, download, udp, fragmented, ping } };
	});
	const strays = straysOf(atDirectors(seen));
	const shares = DIRECTORS.map((director) => ({
		director,
		requests: volumeOf(seen[director].filter(({ direction }) => direction === "in")),
	}));
	tell({ kind: "traffic", traffic, strays });

	signal.throwIfAborted();
	const otherDscp = await askWithOtherDscp(lab, captured);
	tell({ kind: "other-dscp", otherDscp });

	signal.throwIfAborted();
	const saved = await lab.takeRules();
	const withoutRules = await Promise.all(VIPS.map(({ vip }) => reach(lab, vip.text, FAILS_WITHIN_MS)));
	signal.throwIfAborted();
	await lab.restoreRules(saved);
	const rulesAgain = await Promise.all(VIPS.map(({ vip }) => reach(lab, vip.text, withinMs)));
	tell({ kind: "without-rules", withoutRules, rulesAgain });

	const { dropped } = captured;
	const evidence = {
		datapath: lab.datapath,
		datapathsInForce,
		journeys,
		traffic,
		strays,
		shares,
		otherDscp,
		withoutRules,
		rulesAgain,
		dropped,
	};
	return { evidence, claims: judge(evidence) };
}

/** The captures of all hosts, taken together. */
class Captured {
	dropped = 0;
	readonly #lab: Lab;

	constructor(lab: Lab) {
		this.#lab = lab;
	}

	async #take(): Promise<Seen> {
		const seen: Record<Host, readonly Sighting[]> = {
			client: [],
			router: [],
			director: [],
			director2: [],
			real1: [],
			real2: [],
		};
		await Promise.all(
			HOSTS.map(async (host) => {
				const report = await this.#lab.worker(host).call("take", null);
				seen[host] = report.sightings;
				this.dropped += report.dropped;
			}),
		);
		return seen;
	}

	/**
	 * The last acknowledgements may arrive after the last answer, so take again until two takes in a row bring nothing
	 * new.
	 */
	async takeSettled(): Promise<Seen> {
		const all: Record<Host, Sighting[]> = {
			client: [],
			router: [],
			director: [],
			director2: [],
			real1: [],
			real2: [],
		};
		for (let quiet = 0; quiet < 2; ) {
			const seen = await this.#take();
			for (const host of HOSTS) all[host].push(...seen[host]);
			quiet = HOSTS.every((host) => seen[host].length === 0) ? quiet + 1 : 0;
		}
		return all;
	}
}

function firstVip(family: Family): VirtualAddress {
	const found = VIPS.find(({ vip }) => vip.family === family);
	if (found === undefined) throw new RangeError(`the lab has no ${family} VIP`);
	return found;
}

/** The router's interfaces towards the real servers. */
const LAST_HOPS: ReadonlySet<string> = new Set(
	LINKS.filter(({ host }) => REAL_SERVERS.some((server) => server === host)).map(
		({ routerDevice }) => routerDevice,
	),
);

function volumesOf({ vip, dscp }: VirtualAddress, seen: Seen): Omit<VipTraffic, "tallies"> {
	const own = new Set(REAL_SERVERS.map((server) => addressOf(server, vip.family).text));
	const marked = (sighting: Sighting) => sighting.dscp === dscp && own.has(sighting.destination);
	const out = atDirectors(seen).filter((sighting) => sighting.direction === "out" && marked(sighting));
	const delivered = seen.router.filter(
		(sighting) => sighting.direction === "out" && LAST_HOPS.has(sighting.device) && marked(sighting),
	);
	return {
		vip: vip.text,
		family: vip.family,
		dscp,
		directorIn: volumeOf(
			atDirectors(seen).filter(
				({ direction, destination }) => direction === "in" && destination === vip.text,
			),
		),
		directorOut: volumeOf(out),
		toRealServers: volumeOf(delivered),
		answers: volumeOf(
			seen.client.filter(({ direction, source }) => direction === "in" && source === vip.text),
		),
		fragments: out.filter(({ fragment }) => fragment).length,
	};
}

function atDirectors(seen: Seen): Sighting[] {
	return DIRECTORS.flatMap((director) => [...seen[director]]);
}

/** What passed a director except requests: from the client to a VIP (in), or to a real server (out). */
function straysOf(sightings: readonly Sighting[]): DirectorStrays {
	const vips = new Set(VIPS.map(({ vip }) => vip.text));
	const servers = new Set(
		FAMILIES.flatMap((family) => REAL_SERVERS.map((server) => addressOf(server, family).text)),
	);
	const answers = sightings.filter(({ source }) => vips.has(source) || servers.has(source));
	const others = sightings.filter(
		({ direction, source, destination }) =>
			!vips.has(source) &&
			!servers.has(source) &&
			!(direction === "in" ? vips.has(destination) : servers.has(destination)),
	);
	return { answers: volumeOf(answers), others: volumeOf(others) };
}

async function askWithOtherDscp(lab: Lab, captured: Captured): Promise<OtherDscp[]> {
	await captured.takeSettled();
	const targets = FAMILIES.flatMap((family) => REAL_SERVERS.map((server) => ({ server, family })));
	const answers = await Promise.all(
		targets.map(async ({ server, family }) => ({
			server,
			family,
			reach: await reach(lab, addressOf(server, family).text, WITHIN_MS),
		})),
	);
	const seen = await captured.takeSettled();
	return answers.map(({ server, family, reach }) => {
		const requests = seen[server].filter(
			({ direction, source }) => direction === "in" && source === addressOf("client", family).text,
		);
		return {
			server,
			dscp: [...new Set(requests.map(({ dscp }) => dscp))],
			destinations: [...new Set(requests.map(({ destination }) => destination))],
			reach,
		};
	});
}
