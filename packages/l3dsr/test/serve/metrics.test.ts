import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { StatusRecord } from "@l3dsr/records";
import { CAUSES } from "../../src/agent/record.ts";
import { REASONS } from "../../src/balance/reason.ts";
import { Answer } from "../../src/serve/http/answers.ts";
import { Exposition } from "../../src/serve/http/exposition.ts";
import { STATUS_METRICS } from "../../src/serve/http/metrics.ts";
import { sample } from "./recorded.ts";

const nothing = () => ({ connections: 3, streams: 1 });
const textOf = async (json: string) =>
	(await new Exposition(nothing).text(new Answer(json))).bytes.toString();

test("a status becomes counters and gauges in base units, with the labels of each service", async () => {
	const text = await textOf(sample("status-real-server"));
	for (const line of [
		'l3dsr_rewritten_packets_total{service="web",vip="192.0.2.10",dscp="7",datapath="ebpf"} 81273645',
		'l3dsr_rewritten_bytes_total{service="dns",vip="192.0.2.53",dscp="10",datapath="nft"} 40960',
		'l3dsr_service_up{service="dns",vip="192.0.2.53",dscp="10"} 0',
		'l3dsr_services{state="partial"} 1',
		'l3dsr_drift{kind="address-missing"} 1',
		'l3dsr_repairs_total{cause="ruleset-flushed"} 1',
		'l3dsr_agent_condition{condition="right"} 1',
		"l3dsr_config_last_apply_timestamp_seconds 1795827552.042",
		"process_cpu_seconds_total 14.82",
		"l3dsr_http_connections 3",
	]) {
		assert.ok(text.includes(`\n${line}\n`), `${line}\n${text}`);
	}
	assert.ok(
		!text.includes('service="held",vip="192.0.2.99",dscp="",datapath'),
		"no rule counts an L2DSR service",
	);
});

test("a director's real servers, next hops and reasons are metrics too", async () => {
	const text = await textOf(sample("status-director"));
	const labels = 'vip="192.0.2.10",protocol="tcp",port="443"';
	for (const line of [
		`l3dsr_director_packets_total{${labels},real="a1",address="10.1.0.11"} 400000000`,
		`l3dsr_director_real_up{${labels},real="a2",address="10.1.0.12"} 0`,
		`l3dsr_director_transition_slots{${labels}} 21845`,
		'l3dsr_director_next_hops{state="unresolved"} 1',
		'l3dsr_director_not_forwarded_packets_total{reason="not-vip",outcome="pass"} 88123',
	]) {
		assert.ok(text.includes(`\n${line}\n`), `${line}\n${text}`);
	}
});

test("services that differ only in ports are one series: Prometheus refuses the same labels twice", async () => {
	const status = JSON.parse(sample("status-real-server")) as StatusRecord; // a test of the samples checks that
	const [web] = status.services;
	assert.ok(web !== undefined);
	const twice = { ...status, services: [web, { ...web, state: "down", packets: 5 }] };
	const lines = (await textOf(JSON.stringify(twice))).split("\n").filter((line) => /\{.*\} /.test(line));
	const series = lines.map((line) => line.slice(0, line.lastIndexOf(" ")));
	assert.deepEqual([...new Set(series)], series);
	assert.ok(
		lines.some((line) => line.startsWith("l3dsr_rewritten_packets_total{") && line.endsWith(" 81273650")),
	);
	assert.ok(lines.some((line) => line.startsWith("l3dsr_service_up{") && line.endsWith(" 0")));
});

test("docs/reference/metrics.md lists each metric with its type, and no other", async () => {
	const text = readFileSync(new URL("../../../../docs/reference/metrics.md", import.meta.url), "utf8");
	const listed = [...text.matchAll(/^\| `(\w+)` \| (\w+) \|/gm)].map(([, name, type]) => `${name} ${type}`);
	const shown = await textOf(sample("status-real-server"));
	const made = [...shown.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => `${name} ${type}`);
	assert.ok(made.length > STATUS_METRICS.length);
	assert.deepEqual(listed.sort(), made.sort());
});

test("docs/reference/metrics.md explains each reason, cause and condition that is a label", async () => {
	const text = readFileSync(new URL("../../../../docs/reference/metrics.md", import.meta.url), "utf8");
	const happens = { pass: "to the kernel", drop: "dropped", answer: "answered" };
	const rows = Object.entries(REASONS).map(
		([reason, { meaning, outcome }]) => `| \`${reason}\` | ${meaning} | ${happens[outcome]} |`,
	);
	assert.deepEqual(
		text.split("\n").filter((line) => /\| (?:to the kernel|dropped|answered) \|$/.test(line)),
		rows,
	);
	const conditions = (await textOf(sample("status-real-server"))).matchAll(/condition="(\w+)"/g);
	for (const word of [...CAUSES, ...[...conditions].map(([, name]) => name)])
		assert.ok(text.includes(`\`${word}\``), word);
});
