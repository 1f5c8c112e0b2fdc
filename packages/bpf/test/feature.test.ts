import assert from "node:assert/strict";
import { release } from "node:os";
import { test } from "node:test";
import { failOnLeaks } from "../../../test/support/leak.ts";
import { enterNetns, runScript } from "../../../test/support/netns.ts";
import {
	describeFeature,
	FEATURE_NAMES,
	type FeatureName,
	probeFeature,
	requireFeature,
} from "../src/feature.ts";

enterNetns();
failOnLeaks();

/** `6.18.44-fc` is at least `6.6`. */
function isAtLeast(running: string, needed: string): boolean {
	const [major = 0, minor = 0] = running.split(".").map(Number.parseFloat);
	const [neededMajor = 0, neededMinor = 0] = needed.split(".").map(Number);
	return major > neededMajor || (major === neededMajor && minor >= neededMinor);
}

for (const name of FEATURE_NAMES) {
	test(`finds ${describeFeature(name)} on every kernel that must have it`, () => {
		const answer = probeFeature(name);
		if (answer.answer === "unknown") assert.fail(answer.reason);
		if (answer.answer === "no") assert.equal(isAtLeast(release(), answer.needs), false);
		assert.equal(probeFeature(name), answer);
	});
}

test("requires a present feature without an error", () => {
	for (const name of FEATURE_NAMES) {
		if (probeFeature(name).answer === "yes") requireFeature(name, "attach x");
	}
});

test("does not know the answer where bpf(2) is forbidden, and asks again later", async () => {
	const out = await runScript("packages/bpf/test/feature-unprivileged.ts");
	const answers = JSON.parse(out) as Record<FeatureName, readonly string[]>; // written by that script
	for (const name of ["boundedLoops", "coarseClock", "csumReplaceIpv6", "mapBatch"] as const) {
		const { answer } = probeFeature(name);
		assert.notEqual(answer, "unknown");
		assert.deepEqual(answers[name], ["unknown", answer], name);
	}
});
