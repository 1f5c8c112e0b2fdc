/**
 * Compares the program with the oracle on random frames. `make differential` runs the long form:
 * L3DSR_DIRECTOR_PACKETS.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { kernelHas } from "../../../../test/support/kernel.ts";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns, ip } from "../../../../test/support/netns.ts";
import { direct, type OracleResult } from "../../src/balance/oracle/oracle.ts";
import { REASONS, type Reason } from "../../src/balance/reason.ts";
import { REASON_SLOTS, TICK_SHIFT } from "../../src/balance/tables/layout.ts";
import type { FlowMode } from "../../src/model/director.ts";
import { Random, randomFrame, randomRings, randomSketch } from "./program/random.ts";
import { OWN_IFINDEX, OWN_MAC, World, type WorldOptions } from "./program/world.ts";

enterNetns();
failOnLeaks();

/** Total number of packets. */
const PACKETS = Number(process.env["L3DSR_DIRECTOR_PACKETS"] ?? 100_000);
const SEED = Number(process.env["L3DSR_DIRECTOR_SEED"] ?? 1);
/** Packets between two changes of the rings. */
const ROUND = 250;

interface Variant extends WorldOptions {
	readonly flows: FlowMode;
	readonly any: boolean;
}

/** A test run uses the loopback device; tc needs to know which frames are for it. */
const LOOPBACK_MAC = new Uint8Array(6);

const VARIANTS: readonly Variant[] = [
	{ forward: "resolved", flows: "transition", any: true },
	{ forward: "resolved", flows: "transition", any: false, clock: "bpf_ktime_get_ns" },
	{ forward: "resolved", flows: "always", any: true },
	{ forward: "resolved", flows: "none", any: false },
	{ forward: "kernel", flows: "transition", any: true },
	{ forward: "resolved", flows: "transition", any: true, vlan: 42 },
	{ forward: "kernel", flows: "transition", any: true, hook: "tc", mac: LOOPBACK_MAC },
	{ forward: "kernel", flows: "always", any: false, hook: "tc", mac: LOOPBACK_MAC, ipv6ChecksumFlag: false },
];

/** The clock's tick; waits until it is certain not to change while one packet is processed. */
function steadyTick(): number {
	for (;;) {
		const now = process.hrtime.bigint();
		const within = now & ((1n << BigInt(TICK_SHIFT)) - 1n);
		// The coarse clock is up to 10 ms late.
		if (within > 12_000_000n && within < (1n << BigInt(TICK_SHIFT)) - 12_000_000n)
			return Number(now >> BigInt(TICK_SHIFT));
	}
}

const SHORTEST_AT_TC = 54;

/** Whether the kernel checks the network card's sum of a packet (CHECKSUM_COMPLETE). */
const CHECKS_SUMS = kernelHas("testRunChecksumComplete");

const VERDICTS: Readonly<Record<string, string>> = {
	pass: "PASS",
	drop: "DROP",
	answer: "TX",
	tx: "TX",
	redirect: "REDIRECT",
	kernel: "PASS",
};

const links: string[] = [];
after(() => {
	for (const name of links) ip(`link delete ${name}`);
});

VARIANTS.forEach((variant, number) => {
	const { any, ...options } = variant;
	const name = `${options.forward}, flows ${options.flows}${any ? ", port any" : ""}${options.vlan ? ", VLAN" : ""}${options.hook === "tc" ? `, tc${options.ipv6ChecksumFlag === false ? " before Linux 6.16" : ""}` : ""}`;
	test(`the program and the oracle agree on random packets and on their counters: ${name}`, () => {
		const isTc = options.hook === "tc";
		ip(`link add dir${number} type veth peer name dirp${number}`);
		links.push(`dir${number}`);
		const random = new Random(SEED * 1000 + number);
		const sketch = randomSketch(random, any, options.forward);
		using world = new World(sketch, options, isTc ? undefined : `dir${number}`);
		const counted = new Tally();
		for (let n = 0; n < PACKETS / VARIANTS.length; n++) {
			if (n % ROUND === 0) randomRings(random, world, sketch.services, steadyTick());
			const frame = randomFrame(random, options.vlan, isTc ? "00:00:00:00:00:00" : undefined);
			// The kernel accepts no shorter packet.
			if (isTc && frame.length < SHORTEST_AT_TC) continue;
			const now = steadyTick();
			const expected = direct(frame, world.tables(), { ifindex: OWN_IFINDEX, mac: OWN_MAC, ...options }, now);
			const actual = world.run(frame, CHECKS_SUMS && isTc && n % 2 === 0);
			const what = () =>
				`variant ${name}, seed ${SEED}, packet ${n}\nin ${hex(frame)}\noracle ${describe(expected)}\n${hex(expected.frame)}\nprogram ${actual.verdict}\n${hex(actual.frame)}`;
			const verdict = VERDICTS[expected.what === "forward" ? expected.by : expected.what];
			if (actual.verdict !== verdict || !sameFrame(actual.frame, expected.frame)) assert.fail(what());
			// A test run leaves the tag in the frame, where the kernel takes it out of one that arrives.
			const isTagged = isTc && expected.what === "pass" && expected.reason === "vlan";
			counted.add(isTagged ? { ...expected, reason: "not-ip" } : expected);
		}
		const { reasons, reals } = world.counted();
		assert.deepEqual(reasons, counted.reasons(), "reasons");
		assert.deepEqual(
			reals.map(([packets, bytes]) => ({ packets, bytes })).slice(REASON_SLOTS),
			reals.map((_, real) => counted.real(real)).slice(REASON_SLOTS),
			"counters of reals",
		);
	});
});

class Tally {
	readonly #reasons = new Map<Reason, bigint>();
	readonly #reals = new Map<number, { packets: bigint; bytes: bigint }>();

	add(result: OracleResult): void {
		if (result.reason !== undefined)
			this.#reasons.set(result.reason, (this.#reasons.get(result.reason) ?? 0n) + 1n);
		if (result.what !== "forward") return;
		const { packets, bytes } = this.real(result.number);
		this.#reals.set(result.number, { packets: packets + 1n, bytes: bytes + BigInt(result.length) });
	}

	reasons(): Record<string, bigint> {
		return Object.fromEntries(
			(Object.keys(REASONS) as Reason[]).map((reason) => [reason, this.#reasons.get(reason) ?? 0n]),
		);
	}

	real(number: number): { packets: bigint; bytes: bigint } {
		return this.#reals.get(number) ?? { packets: 0n, bytes: 0n };
	}
}

/** Equal, except that a zero checksum may have either representation. */
function sameFrame(a: Uint8Array, b: Uint8Array): boolean {
	if (a.length !== b.length) return false;
	for (let i = 0; i < a.length; i++) {
		if (a[i] === b[i]) continue;
		const at = i;
		const zero = (bytes: Uint8Array) =>
			(bytes[at] === 0 && bytes[at + 1] === 0) || (bytes[at] === 255 && bytes[at + 1] === 255);
		if (!zero(a) || !zero(b)) return false;
		i++;
	}
	return true;
}

function hex(bytes: Uint8Array): string {
	return Buffer.from(bytes).toString("hex");
}

function describe({ frame: _, ...rest }: OracleResult): string {
	return JSON.stringify(rest);
}
