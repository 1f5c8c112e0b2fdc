/** Traffic other than normal TCP: UDP, fragments, a small path MTU, traceroute, ping, and a flood. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { test } from "node:test";
import { promisify } from "node:util";
import {
	type DatagramEvent,
	type DatagramSocket,
	interfaceByName,
	PacketSocket,
	untilReadable,
} from "@l3dsr/linux";
import { addressFromBytes, portOf, TCP_FLAG, tcpPacket } from "@l3dsr/packet";
import { enterNetns, ip, run, waitFor } from "../../../../../test/support/netns.ts";
import { VIP } from "../../vip-path/real-server.ts";
import { UDP, World } from "./world.ts";

enterNetns();

const execute = promisify(execFile);
const SYNS = Number(process.env["L3DSR_E2E_SYNS"] ?? 20_000);
const UDP_FLOWS = Number(process.env["L3DSR_E2E_UDP"] ?? 40);
const FAMILIES = ["ipv4", "ipv6"] as const;
const FOUR = { 1: {}, 2: {}, 3: {}, 4: {} };

async function next(socket: DatagramSocket): Promise<DatagramEvent | undefined> {
	await untilReadable([socket.fd], { timeoutMs: 5000 });
	return socket.take();
}

/** The real server that answers a datagram of this size, and the size that it reports. */
async function askUdp(
	socket: DatagramSocket,
	family: "ipv4" | "ipv6",
	bytes = 10,
): Promise<[string, number]> {
	for (let attempt = 0; attempt < 3; attempt++) {
		assert.equal(socket.send(new Uint8Array(bytes), VIP[family].bytes, UDP), 0);
		const event = await next(socket);
		if (event?.kind !== "datagram") continue;
		assert.equal(addressFromBytes(event.from).text, VIP[family].text);
		const [real = "", length] = Buffer.from(event.data).toString().split(" ");
		return [real, Number(length)];
	}
	throw new Error(`no answer to a datagram of ${bytes} bytes over ${family}`);
}

test("UDP: flows stay with their real server during changes, and fragmented datagrams arrive complete", async (t) => {
	await using world = new World([1, 2, 3, 4, 5]);
	for (let n = 0; n < 2; n++) world.addDirector(world.fleet(FOUR));
	await Promise.all([1, 2, 3, 4, 5].map((n) => world.serveUdp(n)));
	await world.ready();
	using stack = new DisposableStack();
	const flows = Array.from({ length: UDP_FLOWS }, (_, n) => {
		const family = FAMILIES[n % 2] ?? "ipv4";
		return { family, socket: stack.use(world.datagramSocket("udp", family)) };
	});
	const ask = async () => {
		const reals: string[] = [];
		for (const { socket, family } of flows) reals.push((await askUdp(socket, family))[0]);
		return reals;
	};
	const before = await ask();
	assert.deepEqual([...new Set(before)].sort(), ["1", "2", "3", "4"]);
	world.apply({ ...FOUR, 5: {} });
	assert.deepEqual(await ask(), before, "one is added");
	world.apply({ ...FOUR, 2: { state: "drain" }, 5: {} });
	assert.deepEqual(await ask(), before, "one drains");
	world.apply({ 2: {}, 3: {}, 4: {}, 5: {} });
	assert.deepEqual(await ask(), before, "one is removed");
	for (const { socket, family } of flows.slice(0, 8)) {
		const [, length] = await askUdp(socket, family, 4000);
		assert.equal(length, 4000);
	}
	t.diagnostic(`${flows.length} UDP flows, 3 changes, 0 moved`);
});

test("path MTU: downloads and uploads work over a hop of 1,400 bytes whose ICMP errors go to the VIP", async () => {
	await using world = new World([1, 2]);
	const content = randomBytes(1 << 20);
	const digest = createHash("sha256").update(content).digest("hex");
	for (const server of world.reals.values()) {
		server.listen(
			createServer((request, response) => {
				if (request.method === "GET") {
					response.end(content);
					return;
				}
				const hash = createHash("sha256");
				request.on("data", (chunk) => hash.update(chunk)).on("end", () => response.end(hash.digest("hex")));
			}),
			UDP,
		);
	}
	const director = world.addDirector(world.fleet({ 1: {}, 2: {} }));
	await world.ready();
	// This router reports its own small MTU, and the error returns to it on its way to the real server.
	run("sysctl", "-qw", `net.ipv4.conf.${director.host.device}.accept_local=1`);
	ip("route replace 10.2.0.0/24 dev client mtu 1400");
	ip("-6 route replace 2001:db8:2::/64 dev client metric 1 mtu 1400");
	ip(`route replace ${VIP.ipv4.text} via ${director.host.addresses.ipv4} mtu 1400`);
	ip(`-6 route replace ${VIP.ipv6.text} via ${director.host.addresses.ipv6} mtu 1400`);
	const curl = async (...args: string[]) => {
		const command = [
			"netns",
			"exec",
			world.client.netns.name,
			"curl",
			"-sS",
			"-g",
			"--max-time",
			"20",
			...args,
		];
		return (await execute("ip", command, { encoding: "buffer", maxBuffer: 1 << 22 })).stdout;
	};
	for (const host of [VIP.ipv4.text, `[${VIP.ipv6.text}]`]) {
		// Several flows, so that both real servers have to learn of the hop.
		for (let n = 0; n < 4; n++) {
			const got = await curl(`http://${host}:${UDP}/`);
			assert.equal(createHash("sha256").update(got).digest("hex"), digest, `download from ${host}`);
		}
		const url = `http://${host}:${UDP}/`;
		const upload = execFile("ip", [
			"netns",
			"exec",
			world.client.netns.name,
			"curl",
			"-sS",
			"-g",
			"--max-time",
			"20",
			"--data-binary",
			"@-",
			url,
		]);
		upload.stdin?.end(content);
		let said = "";
		upload.stdout?.on("data", (text) => {
			said += text;
		});
		await waitFor("end of the upload", () => upload.exitCode !== null, 25_000);
		assert.equal(said, digest, `upload to ${host}`);
	}
});

test("traceroute to the VIP shows every hop, and the real server answers as the VIP", async () => {
	await using world = new World([1]);
	const director = world.addDirector(world.fleet({ 1: {} }));
	await world.serveUdp(1);
	await world.ready();
	for (const family of FAMILIES) {
		const hops: string[] = [];
		for (let ttl = 1; ttl <= 8; ttl++) {
			using socket = world.datagramSocket("udp", family, ttl);
			socket.send(new Uint8Array(10), VIP[family].bytes, UDP);
			const event = await next(socket);
			assert.ok(event !== undefined, `hop ${ttl}`);
			hops.push(addressFromBytes(event.from).text);
			if (event.kind === "datagram") break;
		}
		const router = { ipv4: ["10.2.0.1", "10.3.0.1"], ipv6: ["2001:db8:2::1", "2001:db8:3::1"] }[family];
		assert.equal(hops[0], router[0]);
		assert.equal(hops[1], director.host.addresses[family]);
		assert.equal(hops.at(-1), VIP[family].text);
		assert.equal(hops.length, 4, hops.join(" "));
	}
});

test("ping of the VIP is answered by a real server, by the program, or not at all", async () => {
	const ping = async (world: World, family: "ipv4" | "ipv6") => {
		const command = [
			"netns",
			"exec",
			world.client.netns.name,
			"ping",
			"-n",
			"-c",
			"1",
			"-W",
			"1",
			VIP[family].text,
		];
		return await execute("ip", command).then(
			() => true,
			() => false,
		);
	};
	for (const [echo, hook, withReals, withoutReals] of [
		["server", "tc", true, false],
		["reply", "xdp-generic", true, true],
		["kernel", "tc", false, false],
	] as const) {
		await using world = new World([1], { echo, hook });
		world.addDirector(world.fleet({ 1: {} }));
		if (hook === "tc") await world.ready();
		for (const family of FAMILIES) {
			if (withReals) await waitFor(`ping by ${echo}, ${family}`, () => ping(world, family), 20_000);
			else assert.equal(await ping(world, family), false, `${echo}, ${family}`);
		}
		world.reals.get(1)?.fallSilent();
		assert.equal(await ping(world, "ipv4"), withoutReals, `${echo}, with a silent real server`);
	}
});

test("a SYN flood during a drain harms no established connection", async (t) => {
	await using world = new World([1, 2, 3, 4]);
	const director = world.addDirector(world.fleet(FOUR));
	await world.ready();
	const flows = await world.open(200);
	world.apply({ ...FOUR, 1: { state: "drain" } });
	assert.ok(director.slotsInTransition > 0);
	// Answers to spoofed senders.
	ip("route add blackhole 198.18.0.0/15");
	const routerMac = Buffer.from(interfaceByName("client").linkAddress);
	const ethernetHeader = Buffer.concat([routerMac, Buffer.from("0200000000010800", "hex")]);
	const ip4 = { destination: VIP.ipv4, tos: 0, ttl: 64, dontFragment: true };
	using socket = world.client.namespace.within(
		() => new PacketSocket({ interfaceName: "eth0", etherType: 0 }),
	);
	const before = director.reasons;
	for (let sent = 0; sent < SYNS; ) {
		const frames = Array.from({ length: 64 }, (_, n) => {
			const at = sent + n;
			const source = addressFromBytes([198, 18 + ((at >> 16) & 1), (at >> 8) & 255, at & 255]);
			const ports = { sourcePort: portOf(1024 + (at >> 17)), destinationPort: portOf(UDP) };
			const syn = { ...ports, sequence: at, flags: TCP_FLAG.syn, window: 65535, options: [] };
			return Buffer.concat([ethernetHeader, tcpPacket({ ...ip4, source }, syn)]);
		});
		socket.send(frames);
		sent += frames.length;
		// Connections continue meanwhile.
		if (sent % 6400 === 0) for (const flow of flows) flow.ask();
		if (sent % 640 === 0) await new Promise((resolve) => setImmediate(resolve));
	}
	for (const flow of flows) flow.ask();
	await waitFor(
		"answers",
		() => flows.every(({ broken, awaited }) => broken !== undefined || awaited === 0),
		60_000,
	);
	assert.deepEqual(
		flows.flatMap(({ broken }) => broken ?? []),
		[],
	);
	t.diagnostic(`${SYNS} SYNs in a drain, ${flows.length} connections unharmed`);
	assert.equal(director.reasons["no-real"], before["no-real"]);
	for (const flow of flows) flow[Symbol.dispose]();
});
