/** `/metrics` in the Prometheus text format, written again only if the status is new. */
import type { StatusRecord } from "@l3dsr/records";
import { Counter, Gauge, Registry } from "prom-client";
import { Answer } from "./answers.ts";
import { registerMetric } from "./metric.ts";
import { STATUS_METRICS } from "./metrics.ts";

/** The HTTP process's own numbers. */
export interface Serving {
	readonly connections: number;
	readonly streams: number;
}

export class Exposition {
	readonly #ofHost = new Registry();
	readonly #ofServing = new Registry();
	readonly #requests: Counter<"path" | "code">;
	#status: StatusRecord | undefined;
	#written: { readonly of: Answer; readonly text: Promise<Answer> } | undefined;

	constructor(serving: () => Serving) {
		for (const metric of STATUS_METRICS) {
			const samples = () => (this.#status === undefined ? [] : metric.samples(this.#status));
			registerMetric(this.#ofHost, metric, samples);
		}
		const registers = [this.#ofServing];
		this.#requests = new Counter({
			name: "l3dsr_http_requests_total",
			help: "Answered requests, by path and status.",
			labelNames: ["path", "code"],
			registers,
		});
		const gauge = (name: string, help: string, value: () => number) =>
			new Gauge({
				name,
				help,
				registers,
				collect() {
					this.set(value());
				},
			});
		gauge("l3dsr_http_connections", "Open connections.", () => serving().connections);
		gauge("l3dsr_http_event_streams", "Open event streams.", () => serving().streams);
		gauge("l3dsr_http_resident_memory_bytes", "Resident memory of the process that speaks HTTP.", () =>
			process.memoryUsage.rss(),
		);
		registerMetric(
			this.#ofServing,
			{
				name: "l3dsr_http_cpu_seconds_total",
				help: "Processor time of the process that speaks HTTP.",
				type: "counter",
				labels: [],
			},
			() => {
				const { user, system } = process.cpuUsage();
				return [[{}, (user + system) / 1e6]];
			},
		);
	}

	static readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;

	/** `path`: one of a fixed set of names. */
	count(path: string, code: number): void {
		this.#requests.inc({ path, code: String(code) });
	}

	/**
	 * `status`: the answer that holds the status record. The numbers of the process itself are computed at the same
	 * time.
	 */
	text(status: Answer): Promise<Answer> {
		if (this.#written?.of !== status) {
			this.#status = status.parsed as StatusRecord; // the agent's own record; tests hold it to its schema
			const texts = Promise.all([this.#ofHost.metrics(), this.#ofServing.metrics()]);
			this.#written = { of: status, text: texts.then((parts) => new Answer(parts.join("\n"))) };
		}
		return this.#written.text;
	}
}
