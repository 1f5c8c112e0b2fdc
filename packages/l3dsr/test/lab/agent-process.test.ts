import assert from "node:assert/strict";
import { it } from "node:test";
import { enterNetns, Netns } from "../../../../test/support/netns.ts";
import { L3dsrError } from "../../src/errors.ts";
import { AgentProcess } from "../../src/lab/agent-process.ts";

enterNetns();

it("an agent that ends in the middle of its answer fails the call by name", async () => {
	using netns = new Netns("agent");
	const half = ["sh", "-c", `read request; printf '{"id":1,"resu'`];
	await using agent = new AgentProcess("real1", netns.name, half, process.env);
	await assert.rejects(
		agent.call("stay", null),
		(error: unknown) =>
			error instanceof L3dsrError &&
			error.code === "LAB_AGENT" &&
			error.message === "run on real1: it ended with 0",
	);
});
