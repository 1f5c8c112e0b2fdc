/**
 * The process that the lab runs on each of its hosts: it serves, sends requests and captures on request.
 *
 * Requests arrive as lines of JSON on stdin; answers go to stdout in the order in which they are ready. When stdin
 * ends, so does the process, so nothing survives the lab, however that ended. Only `stay` changes that, for a lab
 * that is kept.
 */
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { Capture, type CaptureReport } from "./capture.ts";
import {
	askHttp,
	askUdp,
	type HttpAnswer,
	type HttpQuestion,
	type Reply,
	type UdpAnswer,
	type UdpQuestion,
} from "./requests.ts";
import { type ServiceOptions, startServices } from "./services.ts";

/** The requests to a worker: method → [parameters, result]. */
export interface WorkerMethods {
	serve: [ServiceOptions, null];
	/** Captures on these interfaces from now on. */
	capture: [{ readonly devices: readonly string[] }, null];
	/** What was captured since the last `take`. */
	take: [null, CaptureReport];
	http: [HttpQuestion, Reply<HttpAnswer>];
	udp: [UdpQuestion, Reply<UdpAnswer>];
	/** Keeps serving after stdin ends, until it is killed. */
	stay: [null, null];
}

export type WorkerMethod = keyof WorkerMethods;

export type WorkerRequest = {
	[M in WorkerMethod]: { readonly id: number; readonly method: M; readonly params: WorkerMethods[M][0] };
}[WorkerMethod];

export interface WorkerResponse {
	readonly id: number;
	readonly result?: unknown;
	/** Why the request failed. */
	readonly error?: string;
}

/** Serves requests until `input` ends; continues after that only if told to stay. */
export async function runWorker(input: Readable, output: Writable): Promise<void> {
	await using state = new WorkerState();
	output.on("error", () => {}); // the lab is gone; the end of stdin says so too
	const pending: Promise<void>[] = [];
	for await (const line of createInterface({ input })) {
		const request = JSON.parse(line) as WorkerRequest;
		pending.push(
			state.handle(request).then(
				(result) => send(output, { id: request.id, result }),
				(error: unknown) => send(output, { id: request.id, error: String(error) }),
			),
		);
	}
	// The services' sockets keep the process running.
	if (state.stays) await new Promise(() => {});
}

function send(output: Writable, response: WorkerResponse): void {
	output.write(`${JSON.stringify(response)}\n`);
}

class WorkerState implements AsyncDisposable {
	stays = false;
	#capture: Capture | undefined;
	#services: AsyncDisposable | undefined;

	async handle(request: WorkerRequest): Promise<unknown> {
		switch (request.method) {
			case "serve":
				this.#services = await startServices(request.params);
				return null;
			case "capture":
				this.#capture = new Capture(request.params.devices);
				return null;
			case "take":
				return this.#capture?.take() ?? { sightings: [], dropped: 0 };
			case "http":
				return await askHttp(request.params);
			case "udp":
				return await askUdp(request.params);
			case "stay":
				this.stays = true;
				this.#capture?.[Symbol.dispose](); // nobody will ask for it any more
				this.#capture = undefined;
				return null;
		}
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#capture?.[Symbol.dispose]();
		await this.#services?.[Symbol.asyncDispose]();
	}
}
