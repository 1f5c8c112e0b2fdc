import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CLAIMS, type ClaimId, judge } from "../../src/lab/claims.ts";
import type { LabEvidence, Reach, Tally, TrafficKind, VipTraffic } from "../../src/lab/evidence.ts";

const tally: Tally = {
	asked: 4,
	answered: 4,
	fromVip: 4,
	intact: 4,
	bytes: 400,
	servers: { real1: 2, real2: 2 },
};
const volume = { packets: 10, bytes: 1000 };
const vip: VipTraffic = {
	vip: "72.30.38.140",
	family: "ipv4",
	dscp: 1,
	tallies: { http: tally, download: tally, udp: tally, fragmented: tally, ping: tally },
	directorIn: volume,
	directorOut: volume,
	toRealServers: volume,
	answers: volume,
	fragments: 12,
};
const reached: Reach = {
	address: "10.0.11.2",
	http: true,
	udp: true,
	udpPeer: "10.0.11.2",
	askedAt: ["10.0.11.2"],
};
const unreached: Reach = { ...reached, address: "72.30.38.140", http: false, udp: false };
const nothing = { packets: 0, bytes: 0 };
const other = { server: "real1", dscp: [20], destinations: ["10.0.11.2"], reach: reached } as const;

const good: LabEvidence = {
	datapath: "nft",
	datapathsInForce: ["nft"],
	journeys: [],
	traffic: [vip],
	strays: { answers: nothing, others: nothing },
	shares: [
		{ director: "director", requests: volume },
		{ director: "director2", requests: volume },
	],
	otherDscp: [other],
	withoutRules: [unreached],
	rulesAgain: [reached],
	dropped: 0,
};

const withVip = (changes: Partial<VipTraffic>): Partial<LabEvidence> => ({
	traffic: [{ ...vip, ...changes }],
});
const withTally = (kind: TrafficKind, changes: Partial<Tally>): Partial<LabEvidence> =>
	withVip({ tallies: { ...vip.tallies, [kind]: { ...tally, ...changes } } });

/** Maps each claim to evidence against it, and to the resulting message. */
const CONTRADICTIONS: Readonly<Record<ClaimId, readonly [Partial<LabEvidence>, string][]>> = {
	datapath: [
		[{ datapathsInForce: [] }, "no rules are in force"],
		[{ datapath: "ebpf" }, "asked for ebpf, they run on nft"],
	],
	"client-peer": [
		[
			withTally("ping", { answered: 1, fromVip: 1, failure: "no echo reply" }),
			"3 of 4 pings to 72.30.38.140 not answered: no echo reply",
		],
		[withTally("udp", { fromVip: 3 }), "1 datagrams to 72.30.38.140 answered from elsewhere"],
	],
	"bulk-intact": [
		[withTally("download", { intact: 3 }), "1 of 4 downloads at 72.30.38.140 did not arrive whole"],
	],
	"fragments-intact": [
		[
			withTally("fragmented", { intact: 0 }),
			"4 of 4 fragmented datagrams at 72.30.38.140 did not arrive whole",
		],
		[withVip({ fragments: 0 }), "no fragment on its way to 72.30.38.140 was seen"],
	],
	"director-marks": [
		[
			withVip({ directorIn: { packets: 11, bytes: 1040 } }),
			"11 packets (1.0 kB) to 72.30.38.140 in, but 10 packets (1.0 kB) with DSCP 1 (TOS 0x04) out",
		],
		[
			withVip({ toRealServers: nothing }),
			"10 packets (1.0 kB) for 72.30.38.140 sent, but 0 packets (0 bytes) with DSCP 1 (TOS 0x04) reached the real servers",
		],
		[withVip({ directorIn: nothing }), "no packet to 72.30.38.140 came to a director"],
	],
	"director-one-way": [
		[
			{ strays: { answers: { packets: 1, bytes: 40 }, others: nothing } },
			"1 packets (40 bytes) of answers came to the directors",
		],
		[
			{ strays: { answers: nothing, others: volume } },
			"10 packets (1.0 kB) other than requests reached the directors",
		],
		[withVip({ answers: nothing }), "there were no answers"],
	],
	"directors-share": [
		[
			{
				shares: [
					{ director: "director", requests: volume },
					{ director: "director2", requests: nothing },
				],
			},
			"no request came to director2",
		],
		[{ shares: [] }, "it was not tried"],
	],
	"both-serve": [
		[
			withTally("http", { servers: { real1: 4, real2: 0 } }),
			"real2 answered no HTTP request to 72.30.38.140",
		],
	],
	"other-dscp": [
		[
			{ otherDscp: [{ ...other, reach: { ...reached, http: false, failure: "HTTP: ECONNRESET" } }] },
			"real1 did not answer from 10.0.11.2: HTTP: ECONNRESET",
		],
		[{ otherDscp: [{ ...other, dscp: [0, 20] }] }, "packets to 10.0.11.2 came with DSCP 0, 20, not 20"],
		[
			{ otherDscp: [{ ...other, reach: { ...reached, askedAt: ["72.30.38.140"] } }] },
			"real1 was asked at 72.30.38.140 instead of 10.0.11.2",
		],
	],
	"rules-needed": [
		[{ withoutRules: [{ ...unreached, udp: true }] }, "72.30.38.140 still answers"],
		[{ withoutRules: [] }, "it was not tried"],
	],
	"rules-mend": [
		[
			{ rulesAgain: [{ ...unreached, failure: "HTTP: no answer within 500 ms" }] },
			"72.30.38.140 does not answer: HTTP: no answer within 500 ms",
		],
		[{ rulesAgain: [] }, "it was not tried"],
	],
	"captures-complete": [[{ dropped: 3 }, "3 frames were not captured"]],
};

describe("judge", () => {
	it("finds every claim proved by evidence that supports it", () => {
		const claims = judge(good);
		assert.deepEqual(
			claims.map(({ id, held }) => [id, held]),
			Object.keys(CLAIMS).map((id) => [id, true]),
		);
		for (const { evidence } of claims) assert.notEqual(evidence, "");
	});

	for (const [id, contradictions] of Object.entries(CONTRADICTIONS)) {
		for (const [changes, said] of contradictions) {
			it(`refuses "${id}" if ${said}`, () => {
				const claim = judge({ ...good, ...changes }).find((candidate) => candidate.id === id);
				assert.deepEqual([claim?.held, claim?.evidence], [false, said]);
			});
		}
	}

	it("makes no claim about VIPs that were not tested", () => {
		const held = judge({ ...good, traffic: [], otherDscp: [] }).filter((claim) => claim.held);
		assert.deepEqual(
			held.map(({ id }) => id),
			["datapath", "directors-share", "rules-needed", "rules-mend", "captures-complete"],
		);
	});
});
