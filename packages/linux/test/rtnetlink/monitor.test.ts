/** Compares the kernel's events with the changes that ip(8) makes. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns, ip, run } from "../../../../test/support/netns.ts";
import { type NetworkEvent, NetworkMonitor, untilReadable } from "../../src/index.ts";

enterNetns();
failOnLeaks();

ip("link add v0 type veth peer name v1");

/** Collects events until one is `wanted`. */
async function heard(
	monitor: NetworkMonitor,
	wanted: (event: NetworkEvent) => boolean,
): Promise<NetworkEvent[]> {
	const events: NetworkEvent[] = [];
	while (!events.some(wanted)) {
		assert(
			await untilReadable([monitor.fd], { timeoutMs: 5000 }),
			JSON.stringify(events.map(({ kind }) => kind)),
		);
		events.push(...monitor.read());
	}
	return events;
}

test("reports an address with the process that changed it", async () => {
	using monitor = new NetworkMonitor(["address"]);
	const child = spawnSync("ip", ["address", "add", "192.0.2.7/32", "dev", "lo", "label", "lo:7"]);
	const [event] = await heard(monitor, ({ kind }) => kind === "address");
	assert(event?.kind === "address");
	assert.deepEqual(
		[event.change, [...event.address.bytes], event.address.label, event.by],
		["set", [192, 0, 2, 7], "lo:7", child.pid],
	);
	ip("address del 192.0.2.7/32 dev lo");
	const [gone] = await heard(monitor, ({ kind }) => kind === "address");
	assert(gone?.kind === "address");
	assert.equal(gone.change, "deleted");
});

test("reports interfaces that are added, changed and deleted", async () => {
	using monitor = new NetworkMonitor(["link"]);
	ip("link set v0 mtu 1400");
	await heard(monitor, (event) => event.kind === "link" && event.interface.mtu === 1400);
	ip("link add b0 type bridge");
	await heard(monitor, (event) => event.kind === "link" && event.interface.name === "b0");
	ip("link del b0");
	await heard(monitor, (event) => event.kind === "link" && event.change === "deleted");
});

test("reports routes, neighbours and filters", async () => {
	using monitor = new NetworkMonitor(["route", "neighbour", "tc"]);
	ip("link set v0 up");
	ip("link set v1 up");
	ip("route add 198.51.100.0/24 dev v0");
	const routes = await heard(
		monitor,
		(event) => event.kind === "route" && event.route.destination.length === 24,
	);
	const route = routes.find((event) => event.kind === "route" && event.route.destination.length === 24);
	assert(route?.kind === "route");
	assert.deepEqual([...route.route.destination.bytes], [198, 51, 100, 0]);
	ip("neigh add 198.51.100.1 lladdr 02:00:00:00:00:01 dev v0");
	await heard(monitor, (event) => event.kind === "neighbour" && event.neighbour.state === "permanent");
	run("tc", "qdisc", "add", "dev", "v0", "clsact");
	await heard(monitor, (event) => event.kind === "tc" && event.change === "set");
	run("tc", "qdisc", "del", "dev", "v0", "clsact");
	await heard(monitor, (event) => event.kind === "tc" && event.change === "deleted");
});

test("reports only the requested topics", async () => {
	using monitor = new NetworkMonitor(["link"]);
	ip("address add 192.0.2.8/32 dev lo");
	ip("link set v0 mtu 1300");
	const events = await heard(monitor, (event) => event.kind === "link" && event.interface.mtu === 1300);
	assert.deepEqual([...new Set(events.map(({ kind }) => kind))], ["link"]);
});

test("reports once that events were lost, and continues", async () => {
	using monitor = new NetworkMonitor(["address"]);
	// More than the buffer holds while nothing reads.
	const lines = Array.from({ length: 4000 }, (_, n) => `10.${n >> 8}.${n & 255}.1/32 dev lo`);
	const batch = (verb: string) => lines.map((line) => `address ${verb} ${line}\n`).join("");
	for (const verb of ["add", "del"]) spawnSync("ip", ["-batch", "-"], { input: batch(verb) });
	const events = monitor.read();
	assert.equal(events.filter(({ kind }) => kind === "lost").length, 1);
	assert(events.length > 100);
	ip("address add 192.0.2.9/32 dev lo");
	await heard(monitor, (event) => event.kind === "address" && event.address.bytes[3] === 9);
});
