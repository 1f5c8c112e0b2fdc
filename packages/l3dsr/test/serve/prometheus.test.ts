/** The distribution's Prometheus reads the agent's metrics and the files in examples/prometheus. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parse } from "yaml";
import { enterNetns, run, waitFor } from "../../../../test/support/netns.ts";
import { Answer } from "../../src/serve/http/answers.ts";
import { Exposition } from "../../src/serve/http/exposition.ts";
import { STATUS_METRICS } from "../../src/serve/http/metrics.ts";
import { RecordedAgent, sample } from "./recorded.ts";

enterNetns();

const EXAMPLES = new URL("../../../../examples/prometheus/", import.meta.url);
const folder = mkdtempSync(join(tmpdir(), "l3dsr-prometheus-"));
after(() => rmSync(folder, { recursive: true }));

const alerts = readFileSync(new URL("alerts.yaml", EXAMPLES), "utf8");
const dashboard = JSON.parse(readFileSync(new URL("dashboard.json", EXAMPLES), "utf8"));
const expressions: string[] = [
	...parse(alerts).groups.flatMap(({ rules }: { rules: { expr: string }[] }) =>
		rules.map(({ expr }) => expr),
	),
	...dashboard.panels.flatMap(({ targets }: { targets: { expr: string }[] }) =>
		targets.map(({ expr }) => expr),
	),
	...dashboard.templating.list.map(({ query }: { query: string }) => query),
];

/** A result in the format of Prometheus' HTTP API. */
interface Found {
	readonly metric: Readonly<Record<string, string>>;
	readonly value: readonly [number, string];
}

test("alerts and dashboard use existing metrics and labels", () => {
	const labels = new Map<string, readonly string[]>(STATUS_METRICS.map((one) => [one.name, one.labels]));
	const known = new Set([
		...labels.keys(),
		"l3dsr_http_cpu_seconds_total",
		"l3dsr_http_resident_memory_bytes",
	]);
	const used = expressions.flatMap((text) => text.match(/\b(l3dsr|process)_\w+/g) ?? []);
	assert.ok(used.length > 20);
	assert.deepEqual(
		used.filter((name) => !known.has(name)),
		[],
	);
	for (const text of expressions) {
		const [name = ""] = /\b(l3dsr|process)_\w+/.exec(text) ?? [];
		const asked = [...text.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list = ""]) => list.split(/,\s*/));
		const missing = asked.filter(
			(label) => label !== "instance" && labels.get(name)?.includes(label) !== true,
		);
		assert.deepEqual(missing, [], text);
	}
});

test("promtool accepts the alert rules and the served metrics", async () => {
	const path = join(folder, "alerts.yaml");
	writeFileSync(path, alerts);
	assert.match(run("promtool", "check", "rules", path), /SUCCESS/);
	for (const name of ["status-real-server", "status-director"]) {
		const exposition = new Exposition(() => ({ connections: 0, streams: 0 }));
		const input = (await exposition.text(new Answer(sample(name)))).bytes;
		const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], {
			input,
			encoding: "utf8",
		});
		assert.deepEqual([status, stdout, stderr], [0, "", ""]);
	}
});

test("a Prometheus scrapes the agent, and its rules fire for a service that is not up", async () => {
	const agent = new RecordedAgent();
	using _front = agent.serve(["127.0.0.1:9470"]);
	writeFileSync(
		join(folder, "prometheus.yml"),
		`global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [fast.yaml]
scrape_configs: [{ job_name: l3dsr, static_configs: [{ targets: ["127.0.0.1:9470"] }] }]
`,
	);
	// As shipped, but without a delay.
	writeFileSync(join(folder, "fast.yaml"), alerts.replace(/^ +for: .*\n/gm, ""));
	const server = spawn(
		"prometheus",
		[
			"--config.file",
			"prometheus.yml",
			"--storage.tsdb.path",
			"data",
			"--web.listen-address",
			"127.0.0.1:9090",
		],
		{ cwd: folder, stdio: "ignore" },
	);
	try {
		const query = async (text: string): Promise<Found[]> => {
			const url = `http://127.0.0.1:9090/api/v1/query?query=${encodeURIComponent(text)}`;
			const answer = await fetch(url).catch(() => undefined);
			return answer?.ok === true ? ((await answer.json()) as { data: { result: Found[] } }).data.result : [];
		};
		await waitFor("a scrape", async () => (await query('up{job="l3dsr"} == 1')).length === 1, 60_000);
		const [packets] = await query('l3dsr_rewritten_packets_total{vip="192.0.2.10"}');
		assert.equal(packets?.value[1], "81273645");
		const alert = 'ALERTS{alertname="L3dsrServiceDown",alertstate="firing"}';
		await waitFor("an alert", async () => (await query(alert)).length > 0, 60_000);
		assert.deepEqual(
			(await query(alert)).map(({ metric }) => metric["service"]),
			["dns"],
		);
	} finally {
		server.kill("SIGKILL");
	}
});
