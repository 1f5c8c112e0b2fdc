/** A prober's host (the test's own namespace) and a real server with VIPs, for tests of probes. */
import { dscp, parseAddress, portOf } from "@l3dsr/packet";
import { ip, Netns, run, waitFor } from "../../../../test/support/netns.ts";
import type { ProbeProtocol, ProbeTarget } from "../../src/model/probe-target.ts";

export const REAL = { ipv4: "10.9.0.2", ipv6: "2001:db8:9::2" } as const;
/** DSCP 1 and 2 stand for the first two; nothing listens at port 81. */
export const VIPS = { ipv4: ["72.30.38.140", "98.139.183.24"], ipv6: ["fc00::10", "fc00::21"] } as const;
/** DSCP 3 stands for it, but the server does not have it. */
export const ABSENT = "192.0.2.99";

const SERVER = `
const net = require("node:net"), dgram = require("node:dgram");
net.createServer((socket) => { console.log("connection"); socket.destroy(); }).listen(80, "::", 2048, () => {
	let left = process.argv.length - 1;
	for (const address of process.argv.slice(1)) {
		const socket = dgram.createSocket(net.isIPv6(address) ? "udp6" : "udp4");
		socket.on("message", (message, { address, port }) => socket.send(message, port, address));
		socket.bind(7, address, () => --left === 0 && console.log("listening"));
	}
});`;

export interface Server extends Disposable {
	readonly host: Netns;
	/** The service's output. */
	printed(): string;
}

/** Connects `v0` of this namespace to the server, which rewrites and serves. */
export async function startServer(): Promise<Server> {
	const host = new Netns("server");
	// Different numbers: if they are equal, one end may take a second to notice its carrier.
	ip(`link add v0 index 120 type veth peer name eth0 netns ${host.name}`);
	ip("address add 10.9.0.1/24 dev v0");
	ip("address add 2001:db8:9::1/64 dev v0 nodad");
	ip("link set v0 up");
	host.ip(`address add ${REAL.ipv4}/24 dev eth0`);
	host.ip(`address add ${REAL.ipv6}/64 dev eth0 nodad`);
	for (const vip of [...VIPS.ipv4, ...VIPS.ipv6]) {
		host.ip(`address add ${vip}/${vip.includes(":") ? "128 nodad" : "32"} dev lo`);
	}
	host.ip("link set eth0 up");
	const map = (family: string, vips: readonly string[]) =>
		vips.map((vip, index) => `${family} dscp ${index + 1} ${family} daddr set ${vip};`).join(" ");
	host.run(
		"nft",
		`table inet rules { chain prerouting { type filter hook prerouting priority raw; ${map("ip", [...VIPS.ipv4, ABSENT])} ${map("ip6", VIPS.ipv6)} }; }`,
	);
	const service = host.spawn(
		process.execPath,
		"-e",
		SERVER,
		...VIPS.ipv4,
		...VIPS.ipv6,
		REAL.ipv4,
		REAL.ipv6,
	);
	let text = "";
	service.stdout?.on("data", (chunk) => {
		text += String(chunk);
	});
	await waitFor("service", () => text.includes("listening"));
	for (const address of Object.values(REAL)) await waitFor(`echo of ${address}`, () => answersPing(address));
	return { host, printed: () => text, [Symbol.dispose]: () => host[Symbol.dispose]() };
}

function answersPing(address: string): boolean {
	try {
		run("ping", "-c", "1", "-W", "1", address);
		return true;
	} catch {
		return false;
	}
}

export function target(
	real: string,
	code: number,
	protocol: ProbeProtocol = "tcp",
	port = protocol === "udp" ? 7 : 80,
	vip?: string,
): ProbeTarget {
	const address = parseAddress(real);
	const expected = vip === undefined ? undefined : parseAddress(vip);
	if (address === undefined) throw new RangeError(real);
	return {
		real: address,
		dscp: dscp(code),
		protocol,
		...(protocol === "icmp" ? {} : { port: portOf(port) }),
		...(expected === undefined ? {} : { vip: expected }),
	};
}
