import assert from "node:assert/strict";
import { it } from "node:test";
import { enterNetns, Netns } from "../../../../test/support/netns.ts";
import { L3dsrError } from "../../src/errors.ts";
import { WorkerProcess } from "../../src/lab/worker-process.ts";

enterNetns();

it("a worker that ends in the middle of its answer fails the call by name", async () => {
	using netns = new Netns("worker");
	const half = ["sh", "-c", `read request; printf '{"id":1,"resu'`];
	await using worker = new WorkerProcess("real1", netns.name, half, process.env);
	await assert.rejects(
		worker.call("stay", null),
		(error: unknown) =>
			error instanceof L3dsrError &&
			error.code === "LAB_WORKER" &&
			error.message === "run on real1: it ended with 0",
	);
});
