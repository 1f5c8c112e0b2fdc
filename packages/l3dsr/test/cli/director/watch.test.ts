/** `l3dsr watch` on a director: lines and records. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { tcxIngress } from "@l3dsr/bpf";
import { interfaceByName } from "@l3dsr/linux";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns, run, waitFor } from "../../../../../test/support/netns.ts";
import { assertRecord } from "../../../../../test/support/records.ts";
import { DIRECTOR, DIRECTOR_MAC } from "../../balance/wire.ts";
import { ethernet, ipv4, tcp } from "../../packets/build.ts";
import { l3dsr } from "../run-command.ts";
import { CONFIG, FLEET, Stage } from "./stage.ts";

enterNetns();
failOnLeaks();

test("watch prints a line, or a record, for each packet that a director forwards", async () => {
	using stage = new Stage();
	run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
	stage.write("l3dsr.yaml", CONFIG.replace("dir0", "dir0\n  hook: tc\n  forward: kernel"));
	stage.write("fleet.yaml", FLEET.replace(/^ {6}- \{ name: a[23].*\n/gm, ""));
	const up = await stage.l3dsr("up");
	assert.equal(up.exitCode, 0, up.stderr);
	const packet = ipv4(
		{ source: "203.0.113.9", destination: "192.0.2.10" },
		tcp({ sourcePort: 51234, destinationPort: 80 }),
	);
	const watched = async (...args: readonly string[]) => {
		const outcome = l3dsr("watch", "--count", "1", ...args);
		const programs = () => tcxIngress.query(interfaceByName(DIRECTOR)).length;
		await waitFor("somebody who looks on", () => programs() === 2);
		stage.wire.send([ethernet({ destination: DIRECTOR_MAC }, packet)]);
		return await outcome;
	};
	const text = await watched();
	assert.deepEqual(
		[text.exitCode, text.stderr, text.stdout.replace(/^\d\d:\d\d:\d\d\.\d{3} {2}/, "")],
		[
			0,
			"",
			"203.0.113.9:51234 > 192.0.2.10:80  tcp  DSCP 7 (TOS 0x1c)  real 10.1.0.1  dir0  director  routed by the kernel\n",
		],
	);
	const { stdout } = await watched("--json", "--vip", "192.0.2.10");
	const { schema: _, time, ...record } = assertRecord("watch-forwarded", stdout);
	assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000, time);
	assert.deepEqual(record, {
		client: "203.0.113.9",
		clientPort: 51234,
		vip: "192.0.2.10",
		port: 80,
		protocol: "tcp",
		dscp: 7,
		real: "10.1.0.1",
		interface: "dir0",
		bytes: packet.length,
		way: "kernel",
	});
	await l3dsr("down");
});
