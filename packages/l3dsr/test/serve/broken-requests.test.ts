/** Sends invalid and nearly valid requests to the socket of the process that speaks HTTP. */
import assert from "node:assert/strict";
import { randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { enterNetns, waitFor } from "../../../../test/support/netns.ts";
import { runs } from "../../../../test/support/property-runs.ts";
import { RecordedAgent } from "./recorded.ts";

enterNetns();

const PATIENCE_MS = 60_000;
const PORT = 9470;
/** The number of requests. */
const RUNS = runs(200);
const REQUEST = Buffer.from(
	"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip;q=1, *;q=0\r\nConnection: close\r\n\r\n",
);

/**
 * The answer to these bytes until the server closes; `ends`: the client announces that no more will follow.
 */
async function answerTo(bytes: Uint8Array, ends: boolean): Promise<string> {
	const socket = connect(PORT, "127.0.0.1");
	let answer = "";
	socket.setEncoding("latin1");
	socket.on("data", (piece: string) => {
		answer += piece;
	});
	socket.on("error", () => {});
	socket.write(bytes);
	if (ends) socket.end();
	await once(socket, "close");
	return answer;
}

/** The request with some bytes replaced, removed, or inserted. */
function damaged(): Buffer {
	let bytes = REQUEST;
	for (let n = randomInt(1, 4); n > 0; n--) {
		const at = randomInt(bytes.length + 1);
		const skipped = randomInt(4);
		bytes = Buffer.concat([bytes.subarray(0, at), randomBytes(randomInt(4)), bytes.subarray(at + skipped)]);
	}
	return bytes;
}

describe("broken requests", () => {
	it("get an answer of class 2xx or 4xx or none, and the process that reads them continues", async () => {
		const agent = new RecordedAgent();
		using front = agent.serve([`127.0.0.1:${PORT}`]);
		await waitFor(
			"the server",
			async () => (await answerTo(REQUEST, false).catch(() => "")).startsWith("HTTP/1.1 200 "),
			PATIENCE_MS,
		);
		const { pid } = front;
		let refused = 0;
		for (let run = 0; run < RUNS; run++) {
			const bytes = run % 4 === 0 ? randomBytes(randomInt(1, 20_000)) : damaged();
			const answer = await answerTo(bytes, true);
			if (answer.startsWith("HTTP/1.1 4")) refused++;
			assert.match(answer, /^$|^HTTP\/1\.1 [24]\d\d /, bytes.toString("hex"));
		}
		assert.ok(refused > RUNS / 4, `${refused} of ${RUNS} were refused`);
		const many = Buffer.from("GET /v1/fleet HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20));
		const answers = await answerTo(Buffer.concat([many, REQUEST]), false);
		assert.equal(answers.split("HTTP/1.1 200 ").length - 1, 21, "each request in a row is answered");
		assert.deepEqual([front.pid, agent.problems], [pid, []]);
	});
});
