/**
 * The director under load: table changes, replacements of the program and killed processes lose no packet.
 * `make soak-director` runs the long form: 2,000 changes, 1,000 replacements, 100 kills.
 */
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { portOf } from "@l3dsr/packet";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns, ip, waitFor } from "../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../test/support/node.ts";
import { currentTick, ticksOf } from "../../src/balance/kernel/clock.ts";
import { Director } from "../../src/balance/kernel/director.ts";
import { bytesOf, ethernet, ipv4, ipv6, tcp } from "../packets/build.ts";
import { Flood } from "../packets/flood.ts";
import { DIRECTOR, DIRECTOR_MAC, real, SETTINGS, VIP, WIRE, Wire, wishOf } from "./wire.ts";

enterNetns();
failOnLeaks();

const CHANGES = Number(process.env["L3DSR_DIRECTOR_CHANGES"] ?? 40);
const REPLACEMENTS = Number(process.env["L3DSR_DIRECTOR_REPLACEMENTS"] ?? 8);
const KILLS = Number(process.env["L3DSR_DIRECTOR_KILLS"] ?? 2);

/** 256 flows, half of them of each family, in 5 ms: 51,200 packets a second. */
const FLOWS = 256;
const EVERY_MS = 5;

const FRAMES = Array.from({ length: FLOWS }, (_, n) => {
	const segment = tcp({ sourcePort: 20000 + n, destinationPort: 80, data: "" });
	const packet =
		n % 2 === 0 ? ipv4({ destination: VIP[0] }, segment) : ipv6({ destination: VIP[1] }, segment);
	return bytesOf(ethernet({ destination: DIRECTOR_MAC }, packet));
});

const CHANGES_UNTIL_KILLED = fileURLToPath(new URL("./changes-until-killed.ts", import.meta.url));

const reals = (count: number, from = 1) => Array.from({ length: count }, (_, i) => real(from + i));

interface Load {
	/**
	 * Stops the traffic. Returns the packets sent, those that a full queue lost before the director, and
	 * those that came out, by real server.
	 */
	finish(): Promise<{
		readonly sent: number;
		readonly dropped: number;
		readonly got: readonly number[];
		readonly other: number;
	}>;
}

async function startLoad(wire: Wire): Promise<Load> {
	const before = wire.arrived();
	const droppedBefore = dropped();
	const flood = await Flood.start({ interfaceName: WIRE, frames: FRAMES, everyMs: EVERY_MS });
	return {
		async finish() {
			const sent = (await flood.stop()) * FRAMES.length;
			const done = () => {
				const now = wire.arrived();
				const got = now.reals.map((count, n) => count - (before.reals[n] ?? 0));
				const other = now.other - before.other;
				const lost = dropped() - droppedBefore;
				const sum = got.reduce((a, b) => a + b, 0);
				return { sent, dropped: lost, got, other, sum };
			};
			// A packet that has not arrived after a while is lost, and the assertion fails.
			await waitFor("all packets", () => done().sum + done().other + done().dropped >= sent, 5000).catch(
				() => {},
			);
			return done();
		},
	};
}

/** Packets dropped by a full veth queue, on the way in and on the way out. */
function dropped(): number {
	const links = JSON.parse(ip("-j -s link show")) as {
		ifname: string;
		stats64: { rx: { dropped: number }; tx: { dropped: number } };
	}[];
	return links
		.filter(({ ifname }) => ifname === DIRECTOR || ifname === WIRE)
		.reduce((sum, { stats64: { rx, tx } }) => sum + rx.dropped + tx.dropped, 0);
}

/**
 * All packets that entered the director came out of it, to one of `allowed`. A full queue may also have
 * dropped packets of the kernel's own.
 */
function assertNoneLost(
	t: TestContext,
	outcome: Awaited<ReturnType<Load["finish"]>>,
	allowed: readonly number[],
	what: string,
): void {
	const { sent, dropped: full, got, other } = outcome;
	const arrived = got.reduce((a, b) => a + b, 0);
	t.diagnostic(`${what}; ${sent} packets, ${full} dropped by a full queue`);
	assert.equal(other, 0, "packets to an address that is not a real server's");
	const strangers = got.flatMap((count, n) => (count > 0 && !allowed.includes(n) ? [`${n}: ${count}`] : []));
	assert.deepEqual(strangers, [], "packets to real servers that none should go to");
	assert.ok(arrived <= sent, `${arrived} packets came out, and ${sent} went in`);
	assert.ok(sent - arrived <= full, `${sent - arrived - full} packets lost`);
}

test("table changes under 50,000 packets a second lose no packet, misdirect none, and move no known flow", async (t) => {
	using wire = new Wire(50);
	using director = Director.open();
	director.apply(wishOf(reals(8)), SETTINGS);
	const load = await startLoad(wire);
	let moved = 0;
	const start = performance.now();
	for (let turn = 0; turn < CHANGES; turn++) {
		// Two real servers join and leave, weights change, one drains; none dies, so no flow may move.
		const all = [...reals(8), ...(turn % 2 === 0 ? reals(2, 20) : [])].map((one, n) => ({
			...one,
			weight: 1 + ((turn + n) % 3),
			state: n === turn % 8 ? ("drain" as const) : ("enabled" as const),
		}));
		const change = director.apply(wishOf(all), SETTINGS);
		assert.deepEqual(change.attached, [], "no program is replaced");
		moved += change.services.reduce((sum, one) => sum + one.moved, 0);
		await setImmediate();
	}
	const perSecond = (CHANGES * 1000) / (performance.now() - start);
	const outcome = await load.finish();
	assert.ok(moved > CHANGES * 1000, "slots changed");
	assertNoneLost(
		t,
		outcome,
		[1, 2, 3, 4, 5, 6, 7, 8],
		`${CHANGES} changes, ${perSecond.toFixed(0)} a second`,
	);
	director.detach();
});

test("under load, no packet goes to a dead real server once its death is known", async (t) => {
	using wire = new Wire(50);
	using director = Director.open();
	const dead = wishOf(reals(4), {}, (_service, _pool, name) => name !== "r2");
	director.apply(dead, SETTINGS);
	const load = await startLoad(wire);
	for (let turn = 0; turn < CHANGES; turn++) {
		const down = 3 + (turn % 2);
		director.apply(
			wishOf(reals(4), {}, (_service, _pool, name) => name !== "r2" && name !== `r${down}`),
			SETTINGS,
		);
		await setImmediate();
	}
	const outcome = await load.finish();
	assertNoneLost(t, outcome, [1, 3, 4], `${CHANGES} deaths`);
	director.detach();
});

test("replacing the program under 50,000 packets a second loses no packet and moves no flow", async (t) => {
	using wire = new Wire(50);
	using director = Director.open();
	director.apply(wishOf(reals(4)), SETTINGS);
	const load = await startLoad(wire);
	const services = (turn: number) =>
		[80, 443 + (turn % 5)].map(
			(port) => ({ port: portOf(port), protocols: ["tcp", "udp"], pool: "front", affinity: "flow" }) as const,
		);
	for (let turn = 0; turn < REPLACEMENTS; turn++) {
		const change = director.apply(wishOf(reals(4), { services: services(turn) }), SETTINGS);
		assert.deepEqual(change.attached, [DIRECTOR]);
		await setImmediate();
	}
	const outcome = await load.finish();
	assertNoneLost(t, outcome, [1, 2, 3, 4], `${REPLACEMENTS} replacements`);
	const perRound = outcome.sent / FLOWS;
	if (outcome.dropped === 0)
		for (const count of outcome.got)
			assert.equal(count % perRound, 0, "a flow has moved: its packets went to two real servers");
	director.detach();
});

test("a process killed at any moment of its changes does not disturb traffic, and the next one continues", async (t) => {
	using wire = new Wire(50);
	{
		using director = Director.open();
		director.apply(wishOf(reals(4)), SETTINGS);
	}
	const load = await startLoad(wire);
	for (let turn = 0; turn < KILLS; turn++) {
		const child = fork(CHANGES_UNTIL_KILLED, [], { execArgv: [...FROM_SOURCE] });
		await once(child, "message");
		// At some point of its next changes, which take milliseconds each.
		await busyFor(Math.floor(Math.random() * 40));
		await kill(child);
		using next = Director.open();
		assert.equal(next.isRunning, true);
		next.apply(wishOf(reals(4)), SETTINGS);
		next.endDrains(currentTick() + ticksOf(900_000) + 1);
	}
	const outcome = await load.finish();
	assertNoneLost(t, outcome, [1, 2, 3, 4, 30, 31, 32, 33, 34, 35], `${KILLS} kills`);
	using director = Director.open();
	const { services } = director.status();
	assert.ok(services.every(({ reals: all }) => all.every(({ leaving, up }) => up && !leaving)));
	assert.deepEqual(
		services.map(({ reals: all }) => all.reduce((sum, { slots }) => sum + slots, 0)),
		[65537, 65537, 65537, 65537],
	);
	director.detach();
});

async function busyFor(ms: number): Promise<void> {
	const end = performance.now() + ms;
	while (performance.now() < end) await setImmediate();
}

async function kill(child: ChildProcess): Promise<void> {
	const gone = once(child, "exit");
	child.kill("SIGKILL");
	await gone;
}
