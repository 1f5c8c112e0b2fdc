import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { dscp, parseAddress } from "@l3dsr/packet";
import type { Answer } from "../../src/probe/answer.ts";
import { type Evidence, explain } from "../../src/probe/explain.ts";
import { reportOf } from "../../src/probe/report.ts";
import { target } from "./stage.ts";

const VIP = "192.0.2.10";
const asked = target("10.0.0.2", 7, "tcp", 80, VIP);

function address(text: string) {
	const parsed = parseAddress(text);
	if (parsed === undefined) throw new RangeError(text);
	return parsed;
}

const accepted = (from: string, code = 0): Answer => ({
	kind: "accepted",
	from: address(from),
	afterMs: 1,
	dscp: dscp(code),
});
const silence: Answer = { kind: "none" };
const nothing: Evidence = {
	unmarked: silence,
	echo: silence,
	rewritten: [],
	hops: [],
	isOwnAddress: false,
};
const hop = (router: string, code: number) => ({ router: address(router), dscp: dscp(code) });

describe("explain", () => {
	it("reports nothing if all is well", () => {
		assert.deepEqual(explain(asked, accepted(VIP), { ecn: accepted(VIP) }), {
			found: [],
			causes: [],
			next: [],
		});
		// A filter that drops a SYN with ECN bits says nothing about the rule.
		assert.deepEqual(explain(asked, accepted(VIP), { ecn: silence }).causes, []);
	});

	it("names the router between the one that got the mark and the one that did not", () => {
		const evidence = { ...nothing, hops: [hop("10.0.1.1", 7), hop("10.0.1.2", 7), hop("10.0.1.3", 0)] };
		assert.deepEqual(explain(asked, accepted("10.0.0.2"), { evidence }), {
			found: [
				"10.0.1.3 got the packet with DSCP 0 (TOS 0x00)",
				"10.0.1.2 still got it with DSCP 7 (TOS 0x1c)",
			],
			causes: ["the DSCP is changed on the way: by 10.0.1.2"],
			next: ["let the QoS policy there trust DSCP 7 (TOS 0x1c)"],
		});
	});

	it("does not confuse an echo that the VIP answered with one that lost its mark", () => {
		const evidence = { ...nothing, echo: accepted(VIP, 0) };
		assert.match(
			explain(asked, accepted("10.0.0.2"), { evidence }).causes[0] ?? "",
			/^no rule on 10\.0\.0\.2 matches DSCP 7/,
		);
	});

	it("recognises a packet in a loop by its destination", () => {
		const answer = (about: string): Answer => ({
			kind: "icmp",
			from: address("10.0.0.1"),
			afterMs: 1,
			type: 11,
			code: 0,
			about: address(about),
		});
		const circle = explain(asked, answer(VIP));
		assert.deepEqual(circle.found, [`10.0.0.1 says: time to live exceeded, of a packet to ${VIP}`]);
		assert.match(circle.causes[0] ?? "", /does not hold the VIP: it forwards the packet/);
		assert.match(explain(asked, answer("10.0.0.2")).causes[0] ?? "", /^the real server is down/);
	});

	it("distinguishes a filtered port from a missing VIP by an echo", () => {
		const evidence = { ...nothing, unmarked: accepted("10.0.0.2"), echo: accepted(VIP) };
		assert.match(
			explain(asked, silence, { evidence }).causes[0] ?? "",
			/^a filter drops packets to that port/,
		);
		const missing = { ...evidence, echo: silence };
		assert.match(
			explain(asked, silence, { evidence: missing }).causes[0] ?? "",
			/does not hold 192\.0\.2\.10 on lo$/,
		);
	});

	it("names the code under which the VIP answers if it is another one", () => {
		const evidence = { ...nothing, rewritten: [{ dscp: dscp(9), by: address(VIP) }] };
		const { found, causes } = explain(asked, accepted("192.0.2.11"), { evidence });
		assert.deepEqual(found, [`DSCP 9 (TOS 0x24) is answered by the VIP ${VIP}`]);
		assert.match(causes[0] ?? "", /^a rule on 10\.0\.0\.2 maps DSCP 7 \(TOS 0x1c\) to another VIP/);
	});

	it("translates the reason why this host could not send", () => {
		const { found } = explain(asked, { kind: "unsent", errno: 101 });
		assert.deepEqual(found, ["ENETUNREACH (network is unreachable)"]);
	});
});

describe("reportOf", () => {
	it("is about the first answer that was not the VIP's, and counts the VIP's", () => {
		const { ok, outcome, answeredBy, answered, time } = reportOf(asked, [
			accepted(VIP),
			accepted("10.0.0.2"),
			silence,
			accepted(VIP),
		]);
		assert.deepEqual([ok, outcome, answeredBy, answered], [false, "real-address", "10.0.0.2", 2]);
		assert.deepEqual(time, { minMs: 1, avgMs: 1, maxMs: 1 });
	});
});
