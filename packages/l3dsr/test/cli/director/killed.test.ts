/**
 * A director's commands and agents are killed at any moment: flows stay where they are, and the next process
 * continues. L3DSR_COMMAND_KILLS: number of kills; `make soak-director` makes 100.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { enterNetns } from "../../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../../test/support/node.ts";
import { DIRECTOR_MAC } from "../../balance/wire.ts";
import { ethernet, ipv4, tcp } from "../../packets/build.ts";
import { FLEET, Stage } from "./stage.ts";

enterNetns();

const KILLS = Number(process.env["L3DSR_COMMAND_KILLS"] ?? 5);
const L3DSR = fileURLToPath(new URL("../l3dsr-process.ts", import.meta.url));
const FRAMES = Array.from({ length: 60 }, (_, n) => {
	const segment = tcp({ sourcePort: 40_000 + n, destinationPort: 80 });
	const packet = ipv4({ source: `203.0.113.${n + 1}`, destination: "192.0.2.10" }, segment);
	return ethernet({ destination: DIRECTOR_MAC }, packet);
});

/** Each with its fleet: the weight of the last real server changes, and one drains. */
const COMMANDS: readonly (readonly [fleet: string, ...command: string[]])[] = [
	[FLEET.replace("weight: 2", "weight: 5"), "up"],
	[FLEET, "drain", "a1"],
	[FLEET.replace(/ {6}- \{ name: a2.*\n/, ""), "up"],
	[FLEET, "enable", "a1"],
	[FLEET, "agent"],
];

test("a killed command or agent moves no established flow, and the next one continues", async (t) => {
	using stage = new Stage();
	assert.equal((await stage.l3dsr("up")).exitCode, 0);
	/** By source port, the last two bytes of the real server's address. */
	const realsOf = () =>
		stage.wire.exchange(FRAMES).map((frame) => {
			const view = Buffer.from(frame);
			return `${view.readUInt16BE(34)} ${view.subarray(30, 34).join(".")}`;
		});
	const established = realsOf();
	assert.equal(new Set(established.map((one) => one.split(" ")[1])).size, 3);
	const start = (command: string, ...args: readonly string[]) => {
		const argv = [...FROM_SOURCE, L3DSR, command, "-c", stage.config, ...args];
		const child = spawn(process.execPath, argv, { stdio: "ignore" });
		return { child, ended: once(child, "exit") };
	};
	const begin = performance.now();
	await start("up").ended;
	const wholeLifeMs = performance.now() - begin;
	let died = 0;
	for (let turn = 0; turn < KILLS; turn++) {
		const [fleet, command = "", ...args] = COMMANDS[turn % COMMANDS.length] ?? [FLEET];
		stage.write("fleet.yaml", fleet);
		const { child, ended } = start(command, ...args);
		// Mostly in its second half: first it loads its code.
		await Promise.race([ended, delay(wholeLifeMs * (0.3 + Math.random()))]);
		child.kill("SIGKILL");
		await ended;
		if (child.signalCode !== null) died++;
		assert.deepEqual(realsOf(), established, `after ${command}, the ${turn + 1}th`);
	}
	stage.write("fleet.yaml", FLEET);
	for (const [command, ...args] of [["up"], ["enable", "a1"]] as const) {
		const { exitCode, stderr } = await stage.l3dsr(command, ...args);
		assert.equal(exitCode, 0, stderr);
	}
	assert.equal((await stage.l3dsr("diff")).exitCode, 0);
	assert.deepEqual(realsOf(), established, "at the end");
	t.diagnostic(`${KILLS} processes, ${died} of them killed, ${FRAMES.length} flows unharmed`);
	await stage.l3dsr("down");
});
