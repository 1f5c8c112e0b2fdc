/** The lab's side of a worker (worker.ts): starts it on a host, sends requests, ends it. */
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { createInterface } from "node:readline";
import { L3dsrError } from "../errors.ts";
import { type LabEnvironment, startOnHost } from "./host-program.ts";
import type { WorkerMethod, WorkerMethods, WorkerResponse } from "./worker.ts";

/**
 * Far longer than any request takes, even on a slow or busy machine: only a worker that hangs reaches it. In an emulated
 * machine, L3DSR_PATIENCE multiplies it.
 */
const ANSWER_WITHIN_MS = 60_000;
const END_WITHIN_MS = 2_000;

interface Waiting {
	readonly resolve: (result: unknown) => void;
	readonly reject: (error: Error) => void;
	readonly timer: NodeJS.Timeout;
}

export class WorkerProcess implements AsyncDisposable {
	readonly host: string;
	readonly #withinMs: number;
	readonly #child: ChildProcessWithoutNullStreams;
	readonly #ended: Promise<void>;
	readonly #waiting = new Map<number, Waiting>();
	#complaint = "";
	#failure: L3dsrError | undefined;
	#nextId = 1;

	/** `command` starts a worker, in its own session, so that the terminal's signals do not reach it. */
	constructor(host: string, namespace: string, command: readonly string[], environment: LabEnvironment) {
		this.host = host;
		this.#withinMs = ANSWER_WITHIN_MS * (Number(environment["L3DSR_PATIENCE"]) || 1);
		this.#child = startOnHost(namespace, { command, environment });
		this.#child.stdin.on("error", () => {}); // the end of the process reports it
		this.#child.stderr.on("data", (chunk) => {
			this.#complaint += String(chunk);
		});
		createInterface({ input: this.#child.stdout }).on("line", (line) => this.#receive(line));
		this.#ended = new Promise((resolve) => {
			this.#child.on("error", (error) => this.#fail(error.message, resolve));
			this.#child.on("close", (code, signal) => this.#fail(`it ended with ${signal ?? code}`, resolve));
		});
	}

	/** Throws LAB_WORKER if the request fails or the process has ended. */
	async call<M extends WorkerMethod>(method: M, params: WorkerMethods[M][0]): Promise<WorkerMethods[M][1]> {
		if (this.#failure !== undefined) throw this.#failure;
		const id = this.#nextId++;
		const result = await new Promise<unknown>((resolve, reject) => {
			const timer = setTimeout(() => {
				this.#waiting.delete(id);
				reject(workerError(this.host, method, `no answer within ${this.#withinMs} ms`));
			}, this.#withinMs);
			this.#waiting.set(id, { resolve, reject, timer });
			this.#child.stdin.write(`${JSON.stringify({ id, method, params })}\n`);
		});
		// The worker is this same program, so its results have the types of WorkerMethods.
		return result as WorkerMethods[M][1];
	}

	/** Lets the process outlive this one; it must have been told to stay. */
	release(): void {
		this.#child.stdin.end();
		for (const stream of [this.#child.stdout, this.#child.stderr]) stream.destroy();
		this.#child.unref();
	}

	#receive(line: string): void {
		const response = parseResponse(line);
		if (response === undefined) return; // the process has ended, and every pending request fails
		const { id, result, error } = response;
		const waiting = this.#waiting.get(id);
		if (waiting === undefined) return;
		this.#waiting.delete(id);
		clearTimeout(waiting.timer);
		if (error === undefined) waiting.resolve(result);
		else waiting.reject(workerError(this.host, "do what it was asked", error));
	}

	#fail(reason: string, ended: () => void): void {
		const complaint = this.#complaint.trim().split("\n").at(-1) ?? "";
		this.#failure = workerError(this.host, "run", complaint === "" ? reason : `${reason}: ${complaint}`);
		for (const { reject, timer } of this.#waiting.values()) {
			clearTimeout(timer);
			reject(this.#failure);
		}
		this.#waiting.clear();
		ended();
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#child.stdin.end();
		const timer = setTimeout(() => this.#child.kill("SIGKILL"), END_WITHIN_MS);
		await this.#ended;
		clearTimeout(timer);
	}
}

/** Undefined for a line cut off by the end of the process. */
function parseResponse(line: string): WorkerResponse | undefined {
	try {
		return JSON.parse(line) as WorkerResponse; // written by worker.ts
	} catch {
		return undefined;
	}
}

function workerError(host: string, doing: string, reason: string): L3dsrError {
	return new L3dsrError({ code: "LAB_WORKER", message: `${doing} on ${host}: ${reason}` });
}
