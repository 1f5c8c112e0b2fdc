import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { L3dsrError, renderDiagnostic } from "../../src/errors.ts";
import { parseProbeTargets, readProbeTarget } from "../../src/syntax/probe-targets.ts";

function complaints(work: () => unknown): string[] {
	try {
		work();
	} catch (error) {
		if (error instanceof L3dsrError) return error.diagnostics.map(renderDiagnostic);
		throw error;
	}
	return [];
}

describe("parseProbeTargets", () => {
	it("reads one target per line, and ignores comments and empty lines", () => {
		const targets = parseProbeTargets(
			"# web\n10.0.0.1 192.0.2.1 7 80\n\n10.0.0.1 - AF41 53/udp # dns\n2001:db8::1 fc00::1 0x0a icmp\r\n",
			"targets",
		);
		assert.deepEqual(
			targets.map(({ real, vip, dscp, protocol, port }) => [real.text, vip?.text, dscp, protocol, port]),
			[
				["10.0.0.1", "192.0.2.1", 7, "tcp", 80],
				["10.0.0.1", undefined, 34, "udp", 53],
				["2001:db8::1", "fc00::1", 10, "icmp", undefined],
			],
		);
	});

	it("reports the fault of every line with its place", () => {
		assert.deepEqual(
			complaints(() =>
				parseProbeTargets("10.0.0.1 192.0.2.1 64 80\nweb1 - 7 http\n10.0.0.1 fc00::1 7 80\n10.0.0.1 -", "t"),
			),
			[
				"t:1:20: error[PROBE_TARGET]: DSCP 64 is out of range, expected 0-63\n1 | 10.0.0.1 192.0.2.1 64 80\n                       ^^\nhint: 64 looks like a TOS byte (0x40), which is DSCP 16",
				't:2:1: error[PROBE_TARGET]: "web1" is not an IPv4 or IPv6 address of a real server\n2 | web1 - 7 http\n    ^^^^\nhint: names are not looked up: the answer must be tied to one machine',
				't:2:10: error[PROBE_TARGET]: "http" is not a port, expected 1-65535\n2 | web1 - 7 http\n             ^^^^',
				"t:3:10: error[PROBE_TARGET]: one of RIP and VIP is IPv4, the other IPv6: a packet cannot be rewritten from one to the other\n3 | 10.0.0.1 fc00::1 7 80\n             ^^^^^^^",
				"t:4:11: error[PROBE_TARGET]: a target has four words: RIP VIP DSCP PORT\n4 | 10.0.0.1 -\n              ^",
			],
		);
		assert.equal(
			complaints(() => parseProbeTargets("10.0.0.1 - 7 80/sctp\n10.0.0.1 - 7 80 9", "t")).length,
			2,
		);
	});
});

describe("readProbeTarget", () => {
	it("reads the words of a command line", () => {
		const { real, vip, port } = readProbeTarget({
			real: "10.0.0.1",
			vip: "192.0.2.1",
			dscp: "7",
			service: "80/tcp",
		});
		assert.deepEqual([real.text, vip?.text, port], ["10.0.0.1", "192.0.2.1", 80]);
	});

	it("reports all faults at once", () => {
		const words = { real: "10.0.0.300", vip: "127.0.0.1", dscp: "07", service: "0/tcp" };
		assert.equal(complaints(() => readProbeTarget(words)).length, 4);
	});
});
