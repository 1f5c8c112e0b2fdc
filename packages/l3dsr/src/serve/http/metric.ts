/** A metric whose values are taken from a record at each scrape. */
import { Counter, Gauge, type Registry } from "prom-client";

export type Labels = Readonly<Record<string, string>>;
export type Sample = readonly [labels: Labels, value: number];

export interface MetricAbout {
	readonly name: string;
	readonly help: string;
	readonly type: "counter" | "gauge";
	readonly labels: readonly string[];
}

/** Registers a metric. `samples` is called at each scrape; no two samples may have the same labels. */
export function registerMetric(
	registry: Registry,
	{ name, help, type, labels }: MetricAbout,
	samples: () => Iterable<Sample>,
): void {
	const about = { name, help, labelNames: [...labels], registers: [registry] };
	if (type === "counter") {
		new Counter({
			...about,
			collect() {
				this.reset();
				for (const [of, value] of samples()) this.inc({ ...of }, value);
			},
		});
	} else {
		new Gauge({
			...about,
			collect() {
				this.reset();
				for (const [of, value] of samples()) this.set({ ...of }, value);
			},
		});
	}
}
