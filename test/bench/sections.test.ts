/** Runs every part of the bench with tiny counts and checks what it measures, not how fast it was. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { test } from "node:test";
import { COST, FAULT, measureAgent } from "../../bench/agent.ts";
import { COMMAND, measureCommands } from "../../bench/commands.ts";
import {
	CONTROL,
	DIRECTING,
	measureControl,
	measureDirecting,
	measureWaysOut,
	WAY_OUT,
} from "../../bench/director.ts";
import { measureProving, PROVING } from "../../bench/proving.ts";
import { measureReceivePath, PATHS } from "../../bench/receive-path.ts";
import { measureInterfaces, measureRules } from "../../bench/scaling.ts";
import { measureTestRun, SHAPES } from "../../bench/test-run.ts";
import { measureThroughput, WAYS } from "../../bench/throughput.ts";
import { commandPath } from "../support/commands.ts";
import { failOnLeaks } from "../support/leak.ts";
import { enterNetns } from "../support/netns.ts";

enterNetns();
failOnLeaks();

const bin = dirname(commandPath("iptables-daddr"));

test("programs of every size run at tc and XDP", async () => {
	const few = { samples: 1, packets: 20 };
	const figures = await measureTestRun({ rounds: 1, tc: few, xdp: few }, SHAPES.slice(3, 4));
	assert.deepEqual(
		figures.map(({ hook, vips, shape }) => `${hook} ${vips} ${shape}`),
		["tc", "xdp"].flatMap((hook) => [1, 8, 63].map((vips) => `${hook} ${vips} IPv4 UDP`)),
	);
	assert.ok(figures.every(({ net }) => net.length === 1 && net.every(Number.isFinite)));
});

test("every packet reaches the end of each receive path and is rewritten on the way", async () => {
	const names = ["nothing", "ebpf at tcx, 63 VIPs", "nft, 1 VIP, IPv6", "ebpf at native XDP, 1 VIP"];
	names.push("iptables, 1 rule", "nftables, 64 linear rules");
	names.push("ebpf at tcx, 1 VIP, watched before", "ebpf at tcx, 1 VIP, being watched");
	const paths = PATHS.filter(({ name }) => names.includes(name));
	assert.equal(paths.length, names.length);
	const effort = { rounds: 1, samples: 1, frames: 640, warmUp: false };
	const measured = await measureReceivePath(effort, paths);
	assert.deepEqual(
		[...measured.keys()],
		paths.map(({ name }) => name),
	);
	for (const series of measured.values()) assert.ok(series.every((ns) => ns > 0));
});

test("a receive path that rewrites nothing is detected", async () => {
	const [path] = PATHS;
	assert.ok(path !== undefined);
	const idle = { ...path, setUp: async () => () => 0 };
	await assert.rejects(measureReceivePath({ rounds: 1, samples: 1, frames: 64, warmUp: false }, [idle]), {
		message: "nothing: of 64 packets 0 were rewritten",
	});
});

test("the director is measured with each kind of packet, each way out and each change", async () => {
	const few = { rounds: 1, samples: 1, packets: 64 };
	const directing = await measureDirecting({ ...few, flowBits: 4, vips: [1, 3] });
	assert.deepEqual(
		[...directing.keys()],
		[...Object.values(DIRECTING), "known TCP flow, 1 VIP", "known TCP flow, 3 VIPs"],
	);
	assert.ok([...directing.values()].every((series) => series.length === 1 && series.every(Number.isFinite)));
	const ways = await measureWaysOut(few);
	assert.deepEqual([...ways.keys()], Object.values(WAY_OUT));
	assert.ok([...ways.values()].every((series) => series.every((ns) => ns > 0)));
	const control = measureControl(2);
	assert.deepEqual([...control.keys()], Object.values(CONTROL));
	assert.equal(control.get(CONTROL.event)?.length, 2);
});

test("TCP crosses the lab with rewriting at tcx", async () => {
	const ways = WAYS.filter(({ name }) => name === "ebpf at tcx");
	const measured = await measureThroughput({ rounds: 1, seconds: 1 }, "ipv4", ways);
	const [gbits = 0] = measured.get("ebpf at tcx") ?? [];
	assert.ok(gbits > 0);
});

test("commands are timed on hosts with different numbers of rules and interfaces", async () => {
	const effort = { rounds: 1, samples: 1, warmUp: false };
	const rules = await measureRules(effort, bin, [2, 3]);
	const interfaces = await measureInterfaces(effort, bin, [1, 2]);
	assert.deepEqual([...rules.keys(), ...interfaces.keys()], [2, 3, 1, 2]);
	for (const series of [...rules.values(), ...interfaces.values()]) {
		for (const [ms = 0] of series.values()) assert.ok(ms > 0);
	}
});

test("each timed command does its work", async () => {
	const measured = await measureCommands({ rounds: 1, samples: 1, warmUp: false }, bin);
	assert.deepEqual([...measured.keys()], Object.values(COMMAND));
	for (const series of measured.values()) assert.ok(series.every((ms) => ms > 0));
});

test("trace and probe succeed in bulk", async () => {
	const measured = await measureProving({ rounds: 1, samples: 1, warmUp: false }, bin);
	assert.deepEqual([...measured.keys()], Object.values(PROVING));
	for (const series of measured.values()) assert.ok(series.every((ms) => ms > 0));
});

test("the agent repairs each timed fault, and its costs are measured", async () => {
	const effort = { starts: 1, repairs: 1, restS: 0.3, settleS: 0, idleS: 0.1, scrapeS: 0.3 };
	const figures = (await measureAgent(effort, bin, [64])).get(64);
	assert.deepEqual([...(figures?.repairs.keys() ?? [])], Object.values(FAULT));
	assert.deepEqual([...(figures?.costs.keys() ?? [])].sort(), Object.values(COST).sort());
	assert.equal(figures?.costs.get(COST.scrape)?.length, 3);
	assert.ok((figures?.costs.get(COST.memory)?.[0] ?? 0) > 10);
});
