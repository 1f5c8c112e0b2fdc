/**
 * Real servers that die silently, and killed director processes. L3DSR_E2E_DEATHS, L3DSR_E2E_KILLS: how many;
 * `make soak-end-to-end` has 50 and 100. Times are printed and not asserted.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { addRoute, deleteRoute } from "@l3dsr/linux";
import { enterNetns, waitFor } from "../../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../../test/support/node.ts";
import type { Flow } from "./flow.ts";
import { type DirectorHost, World } from "./world.ts";

enterNetns();

const DEATHS = Number(process.env["L3DSR_E2E_DEATHS"] ?? 2);
const KILLS = Number(process.env["L3DSR_E2E_KILLS"] ?? 3);
const SCRIPT = new URL("director-process.ts", import.meta.url).pathname;
const ALL = { 1: {}, 2: {}, 3: {} };

interface Change {
	readonly real: string;
	readonly family: string;
	readonly healthy: boolean;
	/** CLOCK_MONOTONIC, in milliseconds. */
	readonly at: number;
}

class DirectorProcess {
	readonly changes: Change[] = [];
	isReady = false;
	readonly #child: ChildProcess;
	#said = "";

	constructor(world: World, { host }: DirectorHost) {
		const reals = [...world.reals].map(([n, { addresses }]) => ({
			name: `r${n}`,
			addresses: [addresses.ipv4.text, addresses.ipv6.text],
		}));
		const command = ["netns", "exec", host.netns.name, process.execPath, ...FROM_SOURCE, SCRIPT];
		this.#child = spawn("ip", [...command, JSON.stringify(reals)], { stdio: ["ignore", "pipe", "pipe"] });
		this.#child.stderr?.on("data", (text) => {
			this.#said += text;
		});
		if (this.#child.stdout === null) throw new Error("no stdout");
		createInterface({ input: this.#child.stdout }).on("line", (line) => {
			const record = JSON.parse(line);
			if ("ready" in record) this.isReady = true;
			else this.changes.push(record);
		});
	}

	async ready(): Promise<this> {
		await waitFor(
			"director's process",
			() => {
				if (this.#child.exitCode !== null) throw new Error(this.#said);
				return this.isReady;
			},
			20_000,
		);
		return this;
	}

	async kill(): Promise<void> {
		const gone = once(this.#child, "exit");
		this.#child.kill("SIGKILL");
		await gone;
	}
}

/** Silently drops everything that is sent to the real server. */
function die(world: World, n: number): Disposable {
	const addresses = Object.values(world.reals.get(n)?.addresses ?? {});
	const routes = addresses.map(({ bytes }) => ({
		destination: { bytes, length: bytes.length * 8 },
		type: "blackhole" as const,
		metric: 1,
	}));
	for (const route of routes) addRoute(route);
	return {
		[Symbol.dispose]() {
			for (const { destination, type, metric } of routes) deleteRoute({ destination, type, metric });
		},
	};
}

const now = () => Number(process.hrtime.bigint()) / 1e6;

async function breakTimes(flows: readonly Flow[], since: number): Promise<number[]> {
	const times = new Map<Flow, number>();
	await waitFor(
		"RST of every old connection",
		() => {
			for (const flow of flows) {
				if (flow.broken !== undefined && !times.has(flow)) times.set(flow, now() - since);
				else flow.ask();
			}
			return times.size === flows.length;
		},
		20_000,
	);
	return [...times.values()];
}

function percentiles(values: readonly number[]): string {
	const sorted = [...values].sort((a, b) => a - b);
	const at = (share: number) =>
		(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0).toFixed(0);
	return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`;
}

test("a silent real server is detected, gets nothing new, and its old connections are reset", async (t) => {
	await using world = new World([1, 2, 3]);
	const director = world.addDirector(world.fleet(ALL));
	await world.ready();
	const child = await new DirectorProcess(world, director).ready();
	const lastNew: number[] = [];
	const resets: number[] = [];
	for (let death = 0; death < DEATHS; death++) {
		const n = (death % 3) + 1;
		await waitFor("health of all", () => isAllHealthy(child.changes), 20_000);
		const flows = await world.open(30);
		const own = flows.filter(({ real }) => real === String(n));
		assert.ok(own.length > 0);
		const count = child.changes.length;
		// At any point of the interval of the checks.
		await delay(Math.random() * 100);
		const since = now();
		{
			using _dead = die(world, n);
			const isFound = () =>
				child.changes.slice(count).filter(({ real, healthy }) => real === `r${n}` && !healthy);
			resets.push(...(await breakTimes(own, since)));
			await waitFor("death in both families", () => isFound().length === 2, 20_000);
			lastNew.push(...isFound().map(({ at }) => at - since));
			const fresh = await world.open(10);
			assert.ok(fresh.every(({ real, broken }) => broken === undefined && real !== String(n)));
			for (const flow of fresh) flow[Symbol.dispose]();
		}
		const others = flows.filter((flow) => !own.includes(flow));
		assert.deepEqual(
			others.flatMap(({ broken }) => broken ?? []),
			[],
			"of other real servers",
		);
		for (const flow of flows) flow[Symbol.dispose]();
	}
	await child.kill();
	t.diagnostic(
		`${DEATHS} deaths at 100 ms × 3: last new connection ${percentiles(lastNew)}; RST ${percentiles(resets)}`,
	);
});

/** By the latest result of each check. */
function isAllHealthy(changes: readonly Change[]): boolean {
	const last = new Map(changes.map(({ real, family, healthy }) => [`${real} ${family}`, healthy]));
	return [...last.values()].every((healthy) => healthy);
}

test("a director process killed at any moment breaks no connection, and the next one continues", async (t) => {
	await using world = new World([1, 2, 3]);
	const director = world.addDirector(world.fleet(ALL));
	await world.ready();
	const flows = await world.open(60);
	for (let turn = 0; turn < KILLS; turn++) {
		const child = new DirectorProcess(world, director);
		// From its first instruction on until it has checked for a while.
		await delay(Math.random() * 1200);
		await child.kill();
		for (const flow of flows) flow.ask();
		await waitFor(
			"answers",
			() => flows.every(({ broken, awaited }) => broken !== undefined || awaited === 0),
			20_000,
		);
		assert.deepEqual(
			[...new Set(flows.flatMap(({ broken }) => broken ?? []))],
			[],
			`after ${turn + 1} kills`,
		);
	}
	const child = await new DirectorProcess(world, director).ready();
	{
		using _dead = die(world, 2);
		await waitFor(
			"death",
			() => child.changes.some(({ real, healthy }) => real === "r2" && !healthy),
			20_000,
		);
	}
	await child.kill();
	for (const flow of flows) flow[Symbol.dispose]();
	t.diagnostic(`${KILLS} kills, ${flows.length} connections unharmed`);
});
