/**
 * Real traffic in every offload state through a datapath, with one test for each state. For the file of a
 * datapath:
 *
 *     enterNetns();
 *     testOffloadStates("nft", () => new NftDatapath());
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketSocket } from "@l3dsr/linux";
import type { Rule } from "../../src/model/rule.ts";
import { EMPTY_RULESET, ORDINAL_STEP } from "../../src/model/ruleset.ts";
import type { Datapath } from "../../src/rewrite/datapath.ts";
import { setRules } from "../rewrite/set-rules.ts";
import { daddrRule } from "./rules.ts";
import { type OffloadState, TRAFFIC_INTERFACE, Traffic } from "./traffic.ts";

const VIPS = [
	{ vip: "72.30.38.140", dscp: 1 },
	{ vip: "fc00:1000:0:6::10", dscp: 10 },
] as const;

interface Seen {
	readonly pending: boolean;
	readonly merged: boolean;
	readonly big: boolean;
}

interface State {
	readonly offloads: OffloadState;
	readonly behind: boolean;
	/** Proof that packets do arrive in that state. */
	readonly seen: Seen;
}

const UNMERGED = { pending: false, merged: false, big: false };
const MERGED = { pending: true, merged: true, big: false };

const TRAFFIC_STATES = {
	pending: { offloads: "pending", behind: true, seen: MERGED },
	big: { offloads: "big", behind: true, seen: { ...MERGED, big: true } },
	plain: { offloads: "plain", behind: false, seen: UNMERGED },
	plainBehind: { offloads: "plain", behind: true, seen: UNMERGED },
	merged: { offloads: "merged", behind: true, seen: MERGED },
} as const satisfies Record<string, State>;
type StateName = keyof typeof TRAFFIC_STATES;

const RAW_PREROUTING = { table: "raw", chain: "PREROUTING" } as const;

/** In a chain of local delivery, only the `states` without a guest apply. */
export function testOffloadStates(
	datapath: string,
	open: () => Datapath,
	place: Pick<Rule, "table" | "chain"> = RAW_PREROUTING,
	states: readonly StateName[] = ["pending", "big", "plain", "merged"],
): void {
	for (const name of states) {
		const state = TRAFFIC_STATES[name];
		if (state.behind && place.chain === "INPUT") continue;
		const where = state.behind ? "a guest behind the server" : "the server";
		const title = `${datapath}, ${place.table} ${place.chain}: ${state.offloads} traffic reaches a VIP on ${where} intact, answered from the VIP`;
		test(title, () => runState(open(), place, state));
	}
}

async function runState(
	datapath: Datapath,
	place: Pick<Rule, "table" | "chain">,
	{ offloads, behind, seen }: State,
): Promise<void> {
	await using traffic = await Traffic.open({ vips: VIPS, offloads, behind });
	const lost = await traffic.udp(VIPS[0].vip, 100, 1, 100);
	assert.equal(lost.intact, 0, "something turned the packets back before there was a rule");
	const entries = VIPS.map(({ vip, dscp }) => ({
		rule: daddrRule(vip, {
			...place,
			dscp,
			header: { inInterface: { name: TRAFFIC_INTERFACE, wildcard: false, negated: false } },
		}),
		ordinal: ORDINAL_STEP,
	}));
	await setRules(datapath, { entries });
	try {
		for (const { vip } of VIPS) {
			using capture = new PacketSocket({
				interfaceName: TRAFFIC_INTERFACE,
				ignoreOutgoing: true,
				offloads: true,
			});
			assert.deepEqual(await traffic.tcp(vip, offloads === "big" ? 8_000_000 : 500_000), {
				intact: 1,
				peer: vip,
			});
			assert.deepEqual(seenOn(capture), seen, vip);
			assert.deepEqual(await traffic.udp(vip, 400, 10), { intact: 10, peer: vip });
			assert.deepEqual(await traffic.udp(vip, 9000, 3), { intact: 3, peer: vip });
		}
	} finally {
		await setRules(datapath, EMPTY_RULESET);
	}
}

/** The longest IP packet whose header can hold its length, with an Ethernet header. */
const LARGEST_PLAIN_BYTES = 65_535 + 14;

/** The packets with data that have arrived since the socket was opened. */
function seenOn(socket: PacketSocket): Seen {
	let [pending, merged, big] = [false, false, false];
	for (let frame = socket.receive(); frame !== undefined; frame = socket.receive()) {
		if (frame.lengthBytes < 1000) continue;
		pending ||= frame.checksum === "pending";
		merged ||= frame.segmentBytes !== undefined;
		big ||= frame.lengthBytes > LARGEST_PLAIN_BYTES;
	}
	return { pending, merged, big };
}
