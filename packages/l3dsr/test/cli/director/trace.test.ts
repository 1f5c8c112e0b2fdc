/** Compares `l3dsr trace` on a director with what the director does to the same packets on the wire. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns } from "../../../../../test/support/netns.ts";
import { DIRECTOR_MAC } from "../../balance/wire.ts";
import { l3dsr } from "../run-command.ts";
import { Stage } from "./stage.ts";

enterNetns();
failOnLeaks();

const CLIENTS = { ipv4: "198.51.100.7", ipv6: "2001:db8:c::1" } as const;
const VIPS = { ipv4: "192.0.2.10", ipv6: "2001:db8:a::10" } as const;

async function traced(family: keyof typeof VIPS, ...args: readonly string[]) {
	const { stdout, stderr } = await l3dsr(
		"trace",
		"--from",
		CLIENTS[family],
		"--to",
		VIPS[family],
		...args,
		"--json",
	);
	assert.equal(stderr, "");
	return JSON.parse(stdout);
}

test("trace shows service, slot and real server of a packet, and writes the packet that the director sends", async () => {
	using stage = new Stage();
	await stage.l3dsr("up");
	const mac = Buffer.from(DIRECTOR_MAC.replaceAll(":", ""), "hex");
	for (const family of ["ipv4", "ipv6"] as const) {
		for (const port of [4000, 4001, 4002]) {
			const { director, before, after } = await traced(family, "--tcp", `80,${port}`);
			assert.equal(director.outcome, "forward");
			assert.equal(director.choice.vip, VIPS[family]);
			const type = Buffer.from(family === "ipv4" ? "0800" : "86dd", "hex");
			const frame = Buffer.concat([mac, Buffer.alloc(6, 2), type, Buffer.from(before, "hex")]);
			const [sent] = stage.wire.exchange([frame]);
			assert.equal(
				Buffer.from(sent ?? [])
					.subarray(14)
					.toString("hex"),
				after,
				`${family} from port ${port}`,
			);
		}
	}
	const { stdout } = await l3dsr("trace", "--from", CLIENTS.ipv4, "--to", VIPS.ipv4, "--tcp", "80,4000");
	assert.match(
		stdout,
		/^in dir0 \(a director runs there; -i names another\), rules of this host\n\ndirector, xdp of dir0: forwards it\n {2}service {2}192\.0\.2\.10 tcp\/80\n {2}slot {5}\d+ of 65537\n {2}real {5}10\.1\.0\.\d, which the slot belongs to\n {2}way out {2}dir0\n$/m,
	);
	assert.match(stdout, /^result: sent to real server 10\.1\.0\.\d out of dir0$/m);
	await l3dsr("down");
});

test("trace explains why a packet is left to the kernel, and where a drained real server's flows go", async () => {
	using stage = new Stage();
	await stage.l3dsr("up");
	const reasonOf = async (...args: readonly string[]) => (await traced("ipv4", ...args)).director.reason;
	assert.equal(await reasonOf("--tcp", "81"), "no-service");
	assert.equal(await reasonOf("--tcp", "80", "--ttl", "1"), "hops");
	assert.equal(await reasonOf("--icmp"), "echo");
	const { stdout } = await l3dsr("trace", "--from", CLIENTS.ipv4, "--to", VIPS.ipv4, "--tcp", "81");
	assert.match(
		stdout,
		/passes it to the kernel \(no-service\)\n {2}because {2}a VIP, but no service has this protocol/,
	);

	const real = (await traced("ipv4", "--tcp", "80,4000")).director.real;
	await stage.l3dsr("disable", real);
	const moved = (await traced("ipv4", "--tcp", "80,4000")).director;
	assert.notEqual(moved.real, real);
	assert.equal(moved.choice.by, "ring");
	await stage.l3dsr("disable", "front/a1", "front/a2", "front/a3");
	const none = (await traced("ipv4", "--tcp", "80,4000")).director;
	assert.deepEqual([none.outcome, none.reason, none.real], ["pass", "no-real", undefined]);
	await l3dsr("down");
});

test("trace -c shows what a configured director would do, and the same when it runs", async () => {
	using stage = new Stage();
	const ports = Array.from({ length: 8 }, (_, n) => String(4000 + n));
	const choices = async (...args: readonly string[]) => {
		const found: string[] = [];
		for (const family of ["ipv4", "ipv6"] as const)
			for (const port of ports) {
				const { director } = await traced(family, "--tcp", `80,${port}`, ...args);
				found.push(`${director.outcome} ${director.choice.slot} ${director.real}`);
			}
		return found;
	};
	const configured = await choices("-c", stage.config);
	const { stdout } = await l3dsr(
		"trace",
		"--from",
		CLIENTS.ipv4,
		"--to",
		VIPS.ipv4,
		"--tcp",
		"80,4000",
		"-c",
		stage.config,
	);
	assert.match(stdout, /^director, xdp of dir0: forwards it\n {2}service {2}192\.0\.2\.10 tcp\/80\n/m);
	assert.doesNotMatch(stdout, /way out/);
	assert.match(stdout, /^result: sent to real server 10\.1\.0\.\d$/m);
	assert.equal((await traced("ipv4", "--tcp", "81", "-c", stage.config)).director.reason, "no-service");
	await stage.l3dsr("up");
	assert.deepEqual(await choices(), configured);
	await stage.l3dsr("down");
});
