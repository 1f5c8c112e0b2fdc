/** Compares the watch of a director with the packets on its wire. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { tcxIngress } from "@l3dsr/bpf";
import { interfaceByName } from "@l3dsr/linux";
import { dscp, parseAddress, portOf, prefixOf } from "@l3dsr/packet";
import { kernelHas } from "../../../../../test/support/kernel.ts";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns, run, waitFor } from "../../../../../test/support/netns.ts";
import { Director } from "../../../src/balance/kernel/director.ts";
import { lowerFleet } from "../../../src/balance/service.ts";
import type { Forwarding } from "../../../src/inspect/watch/sighting.ts";
import { Watch, type WatchFilter, type WatchOptions } from "../../../src/inspect/watch/watch.ts";
import type { DirectorSettings } from "../../../src/model/director.ts";
import { DIRECTOR, DIRECTOR_MAC, fleetOf, real, SETTINGS, VIP, Wire, wishOf } from "../../balance/wire.ts";
import { ethernet, icmp, icmpError, ipv4, ipv6, tcp, udp } from "../../packets/build.ts";

enterNetns();
failOnLeaks();

const [VIP4, VIP6] = VIP;
const HAS_TCX = kernelHas("tcx");
const NO_PLACE_BEHIND_TC = !HAS_TCX && "this kernel lacks tcx, the place behind a director at tc";
const HOOKS = {
	xdp: SETTINGS,
	tc: { ...SETTINGS, hook: "tc", forward: "kernel" },
} as const satisfies Record<string, DirectorSettings>;

/** A director with a wire. */
class Stage implements Disposable {
	readonly wire = new Wire(10);
	readonly director = Director.open();

	constructor() {
		run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
		run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", `net.ipv4.conf.${DIRECTOR}.rp_filter=0`);
		run("ip", "route", "add", "203.0.113.0/24", "via", "10.9.0.254");
	}

	[Symbol.dispose](): void {
		this.director.detach();
		this.wire[Symbol.dispose]();
	}
}

const frame = (packet: Uint8Array) => ethernet({ destination: DIRECTOR_MAC }, packet);
const toVip4 = (sourcePort: number, more: { source?: string; destination?: string; dscp?: number } = {}) =>
	ipv4(
		{ source: more.source ?? "203.0.113.9", destination: more.destination ?? VIP4, dscp: more.dscp ?? 0 },
		tcp({ sourcePort, destinationPort: 80 }),
	);
const toVip6 = (sourcePort: number) =>
	ipv6({ source: "2001:db8:c::9", destination: VIP6 }, udp({ sourcePort, destinationPort: 80 }));
const OTHERS = [
	// To an address that is not a VIP; to a VIP without a service there; with the code of the VIP, but not
	// forwarded.
	toVip4(1, { destination: "10.9.0.1", dscp: 7 }),
	ipv4({ source: "203.0.113.9", destination: VIP4, dscp: 7 }, tcp({ sourcePort: 2, destinationPort: 81 })),
	ipv4({ source: "203.0.113.9", destination: VIP4 }, icmp()),
];

function options(filter: WatchFilter = {}, more: Partial<WatchOptions> = {}): WatchOptions {
	return { filter, flows: false, rate: 100_000, ...more };
}

/** The watch's lines for these packets; `last` is the port of a packet that it must show. */
async function told(
	wire: Wire,
	watch: Watch,
	packets: readonly Uint8Array[],
	last: number,
): Promise<Forwarding[]> {
	const seen: Forwarding[] = [];
	const isLast = ({ ports }: Forwarding) => ports?.client === last;
	wire.send([...packets, toVip4(last, { source: "203.0.113.99" })].map(frame));
	await waitFor("the last packet", () => {
		watch.read((one) => {
			if (one.by === "director") seen.push(one);
		});
		return seen.some(isLast);
	});
	return seen.filter((one) => !isLast(one));
}

for (const [hook, settings] of Object.entries(HOOKS)) {
	test(`at ${hook}, each packet that a director forwards is shown once, with its VIP and real server`, async (t) => {
		using stage = new Stage();
		const { wire, director } = stage;
		director.apply(wishOf([real(1), real(2), real(3)]), settings);
		using watch = await Watch.open(options());
		if (forbidden(t, watch)) return;
		const ports = Array.from({ length: 20 }, (_, n) => 40_000 + n);
		const packets = ports.flatMap((port) => [toVip4(port), toVip6(port)]);
		const arrivedBefore = wire.arrived().reals;
		const seen = await told(wire, watch, [...OTHERS, ...packets], 50_000);
		assert.equal(watch.leftOut, 0n);
		const way = hook === "xdp" ? "back" : "kernel";
		assert.deepEqual(
			seen.map(({ client, ports: own, vip, protocol, dscp: code, interface: name, way: by }) =>
				[client.text, own?.client, vip.text, own?.destination, protocol, code, name, by].join(" "),
			),
			ports.flatMap((port) => [
				`203.0.113.9 ${port} ${VIP4} 80 6 7 ${DIRECTOR} ${way}`,
				`2001:db8:c::9 ${port} ${VIP6} 80 17 7 ${DIRECTOR} ${way}`,
			]),
		);
		await waitFor("every packet on the wire", () => {
			const arrived = wire.arrived().reals.map((count, n) => count - (arrivedBefore[n] ?? 0));
			return arrived.reduce((sum, count) => sum + count, 0) >= packets.length + 1;
		});
		const arrived = wire.arrived().reals.map((count, n) => count - (arrivedBefore[n] ?? 0));
		for (const n of [1, 2, 3]) {
			const own = seen.filter(({ real: to }) => [`10.1.0.${n}`, `2001:db8:1::${n}`].includes(to.text));
			// The last packet went to one of them.
			assert.ok([0, 1].includes((arrived[n] ?? 0) - own.length), `real server ${n}: ${own.length}`);
		}
	});

	test(`at ${hook}, filters, --flows and --rate apply, and new programs are followed`, async (t) => {
		using stage = new Stage();
		const { wire, director } = stage;
		director.apply(wishOf([real(1)]), settings);
		const clients = async (filter: WatchFilter, more: Partial<WatchOptions> = {}) => {
			using watch = await Watch.open(options(filter, more));
			const packets = [toVip4(1), toVip4(1), toVip4(2), toVip6(3)];
			return (await told(wire, watch, packets, 50_001)).map(({ ports }) => ports?.client);
		};
		{
			using watch = await Watch.open(options());
			if (forbidden(t, watch)) return;
		}
		const address = (text: string) => parseAddress(text) ?? assert.fail(text);
		assert.deepEqual(await clients({}), [1, 1, 2, 3]);
		assert.deepEqual(await clients({}, { flows: true }), [1, 2, 3]);
		assert.deepEqual(await clients({ vip: address(VIP4) }), [1, 1, 2]);
		assert.deepEqual(await clients({ dscp: dscp(7), interface: DIRECTOR }), [1, 1, 2, 3]);
		assert.deepEqual(await clients({ client: prefixOf(address("203.0.113.64"), 26) }), []);
		using elsewhere = await Watch.open(options({ interface: "lo" }));
		using otherCode = await Watch.open(options({ dscp: dscp(8) }));

		using slow = await Watch.open(options({}, { rate: 5 }));
		let seen = 0;
		wire.send(Array.from({ length: 100 }, (_, n) => frame(toVip4(n + 1))));
		await waitFor("every packet, told or counted", async () => {
			slow.read(() => seen++);
			await slow.refresh(() => seen++);
			return seen + Number(slow.leftOut) === 100;
		});
		assert.ok(seen >= 5 && seen < 60, `${seen}`);

		using watch = await Watch.open(options());
		const other = { dscp: { ipv4: dscp(9), ipv6: dscp(9) } };
		director.apply(
			wishOf([real(1), real(2)], other, (_service, _pool, name) => name === "r2"),
			settings,
		);
		await watch.refresh(() => {});
		const [one] = await told(wire, watch, [toVip4(4)], 50_002);
		assert.deepEqual([one?.real.text, one?.dscp, one?.vip.text], ["10.1.0.2", 9, VIP4]);
		for (const none of [elsewhere, otherCode])
			none.read(() => assert.fail("a packet that was not asked for"));
	});
}

test("a packet for one of two VIPs with one code is shown with its own VIP, and with its own length", {
	skip: NO_PLACE_BEHIND_TC,
}, async () => {
	using stage = new Stage();
	const { wire, director } = stage;
	const other = "192.0.2.11";
	const fleet = fleetOf([real(1)]);
	const [vip] = fleet.vips;
	assert.ok(vip !== undefined);
	const service = { port: portOf(81), protocols: ["tcp"], pool: "front", affinity: "flow" } as const;
	const second = parseAddress(other) ?? assert.fail();
	const vips = [vip, { ...vip, name: "other", addresses: [second], services: [service] }];
	director.apply(lowerFleet({ ...fleet, vips }), HOOKS.tc);
	using watch = await Watch.open(options());
	const packet = (destination: string, destinationPort: number) =>
		ipv4({ source: "203.0.113.9", destination }, tcp({ sourcePort: 1, destinationPort }));
	const answer = ipv4(
		{ source: other, destination: "203.0.113.9" },
		tcp({ sourcePort: 81, destinationPort: 1 }),
	);
	const error = ipv4({ source: "203.0.113.1", destination: other }, icmpError(answer));
	const padded = Uint8Array.of(...packet(VIP4, 80), ...new Uint8Array(6));
	const seen = await told(wire, watch, [padded, packet(other, 81), error], 50_003);
	assert.deepEqual(
		seen.map(({ vip: to, bytes }) => [to.text, bytes]),
		[
			[VIP4, packet(VIP4, 80).length],
			[other, packet(other, 81).length],
			[other, error.length],
		],
	);
});

test("a watcher leaves the director as it was, and nothing behind", {
	skip: NO_PLACE_BEHIND_TC,
}, async () => {
	using stage = new Stage();
	const { director } = stage;
	director.apply(wishOf([real(1)]), HOOKS.tc);
	const on = interfaceByName(DIRECTOR);
	const programs = () => tcxIngress.query(on).map(({ programId }) => programId);
	const standing = programs();
	{
		using _watch = await Watch.open(options());
		assert.equal(programs().length, standing.length + 1);
		assert.deepEqual(programs().slice(0, 1), standing, "it stands behind the director");
		director.apply(wishOf([real(1), real(2)]), HOOKS.tc);
		assert.deepEqual(director.status().programs.length, 1, "a watcher is not a director");
	}
	assert.deepEqual(programs().length, standing.length);
});

/**
 * A security policy of the host may forbid tracing programs, and a kernel before 6.6 has no place behind a director at
 * tc; a watch then reports that. `make test-kernels` runs this without such a policy.
 */
function forbidden(t: { diagnostic(message: string): void }, watch: Watch): boolean {
	const [note] = watch.notes;
	if (note === undefined) return false;
	t.diagnostic(note);
	if (note.startsWith("the director at clsact")) {
		assert.equal(HAS_TCX, false, note);
		assert.match(note, /^the director at clsact ingress of dir0 cannot be watched: .* needs Linux >= 6\.6/);
		return true;
	}
	assert.notEqual(process.env["L3DSR_REQUIRE_TRACING"], "1", note);
	assert.match(note, /^the director at XDP of dir0 cannot be watched: load program .*EPERM/);
	return true;
}
