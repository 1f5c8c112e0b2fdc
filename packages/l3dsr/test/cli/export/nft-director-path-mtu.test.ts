/**
 * A director of `export nft-director` at work: client - near - far - core - director and two real servers.
 * The link between near and far has 1,400 bytes, which the real servers learn only from ICMP errors that are
 * sent to the VIP.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { commandPath } from "../../../../../test/support/commands.ts";
import { enterNetns, Netns, waitFor } from "../../../../../test/support/netns.ts";

enterNetns();

const VIPS = { ipv4: "192.0.2.10", ipv6: "2001:db8:ff::10" } as const;
const DSCP = 7;
const BYTES = 300_000;

/** Hosts behind the router, by the number of their subnet: 10.0.N.2 and 2001:db8:N::2; the router is .1. */
const SUBNETS = { client: 1, director: 2, real1: 3, real2: 4 } as const;
type Host = keyof typeof SUBNETS;

const SERVER = `
	const body = Buffer.alloc(${BYTES}, 0x61);
	const answer = (request, response) => {
		let received = 0;
		request.on("data", (chunk) => { received += chunk.length; });
		request.on("end", () => response.end(request.method === "POST" ? String(received) : body));
	};
	require("node:http").createServer(answer).listen(80, "::", () => console.log("listening"));`;

const core = new Netns("router");
/**
 * Two routers on the client's side: an error from core itself would return to it with its own source address.
 */
const near = new Netns("near");
const far = new Netns("far");
const hosts = Object.fromEntries(Object.keys(SUBNETS).map((name) => [name, new Netns(name)])) as Readonly<
	Record<Host, Netns>
>; // the keys are those of SUBNETS

after(() => {
	for (const host of [core, near, far, ...Object.values(hosts)]) host[Symbol.dispose]();
});

const FORWARDING = "sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1";

function shell(command: string): readonly [string, ...string[]] {
	return ["sh", "-ec", command];
}

before(async () => {
	for (const host of [core, near, far, hosts.director]) host.run(...shell(FORWARDING));
	for (const [name, subnet] of Object.entries(SUBNETS)) {
		const host = hosts[name as Host];
		const router = name === "client" ? near : core;
		router.ip(`link add ${name} type veth peer name eth0 netns ${host.name}`);
		router.ip(`link set ${name} up`);
		router.ip(`address add 10.0.${subnet}.1/24 dev ${name}`);
		router.ip(`address add 2001:db8:${subnet}::1/64 dev ${name} nodad`);
		host.ip("link set eth0 up");
		host.ip(`address add 10.0.${subnet}.2/24 dev eth0`);
		host.ip(`address add 2001:db8:${subnet}::2/64 dev eth0 nodad`);
		host.ip(`route add default via 10.0.${subnet}.1`);
		host.ip(`-6 route add default via 2001:db8:${subnet}::1`);
	}
	core.ip(`route add ${VIPS.ipv4} via 10.0.2.2`);
	core.ip(`-6 route add ${VIPS.ipv6} via 2001:db8:2::2`);
	connect(core, far, 8, 1500);
	connect(far, near, 9, 1400);
	for (const [host, subnet] of [
		[core, 8],
		[far, 9],
	] as const) {
		host.ip(`route add 10.0.1.0/24 via 10.0.${subnet}.2`);
		host.ip(`-6 route add 2001:db8:1::/64 via 2001:db8:${subnet}::2`);
	}
	for (const [host, subnet] of [
		[far, 8],
		[near, 9],
	] as const) {
		host.ip(`route add default via 10.0.${subnet}.1`);
		host.ip(`-6 route add default via 2001:db8:${subnet}::1`);
	}

	const services = Object.values(VIPS).map((vip) => `{ vip: "${vip}", dscp: ${DSCP} }`);
	const load = `
		printf 'services: [${services.join(", ")}]' > $1.yaml
		${commandPath("l3dsr")} export nft-director -c $1.yaml --real 10.0.3.2 --real 10.0.4.2 \
			--real 2001:db8:3::2 --real 2001:db8:4::2 > $1.nft
		nft -f $1.nft && nft -f $1.nft
		rm $1.yaml $1.nft`;
	hosts.director.run("sh", "-ec", load, "sh", `/run/${hosts.director.name}`);

	for (const real of [hosts.real1, hosts.real2]) {
		for (const vip of Object.values(VIPS)) real.ip(`address add ${vip} dev lo`);
		const rule = (command: string, vip: string) =>
			real.run(
				commandPath(command),
				..."-t raw -A PREROUTING -m dscp --dscp".split(" "),
				String(DSCP),
				..."-j DADDR --set-daddr".split(" "),
				vip,
			);
		rule("iptables-daddr", VIPS.ipv4);
		rule("ip6tables-daddr", VIPS.ipv6);
		const server = real.spawn(process.execPath, "-e", SERVER);
		let listening = false;
		server.stdout?.on("data", () => {
			listening = true;
		});
		await waitFor("server", () => listening);
	}
});

/** A link between two routers: the first one's addresses end in 1, the second one's in 2. */
function connect(first: Netns, second: Netns, subnet: number, mtu: number): void {
	const device = `link${subnet}`;
	first.ip(`link add ${device} mtu ${mtu} type veth peer name ${device} mtu ${mtu} netns ${second.name}`);
	for (const [host, address] of [
		[first, 1],
		[second, 2],
	] as const) {
		host.ip(`link set ${device} up`);
		host.ip(`address add 10.0.${subnet}.${address}/24 dev ${device}`);
		host.ip(`address add 2001:db8:${subnet}::${address}/64 dev ${device} nodad`);
	}
}

/** Requests the VIP over a new connection. Returns the number of bytes, or the text if it is short. */
function ask(vip: string, ...options: readonly string[]): string {
	const url = vip.includes(":") ? `http://[${vip}]/` : `http://${vip}/`;
	return hosts.client.run("curl", "--silent", "--max-time", "10", ...options, url);
}

describe("behind a director of export nft-director, across a link of 1,400 bytes", () => {
	for (const [family, vip] of Object.entries(VIPS)) {
		it(`eight downloads and an upload over ${family} complete`, () => {
			for (let n = 0; n < 8; n++) assert.equal(ask(vip).length, BYTES);
			const upload = ask(vip, "--request", "POST", "--data", "b".repeat(100_000));
			assert.equal(upload, "100000");
		});
	}

	it("each real server has learnt the path MTU of the client", () => {
		const learnt = [hosts.real1, hosts.real2].map((real) => ({
			ipv4: real.ip(`route get 10.0.1.2 from ${VIPS.ipv4}`),
			ipv6: real.ip(`-6 route get 2001:db8:1::2 from ${VIPS.ipv6}`),
		}));
		for (const routes of learnt) {
			assert.match(routes.ipv4, /mtu 1400/);
			assert.match(routes.ipv6, /mtu 1400/);
		}
	});

	it("loading the file twice has left one set of rules", () => {
		const rules = hosts.director.run("nft", "list", "ruleset");
		assert.equal(rules.match(/ip daddr 192\.0\.2\.10 ip dscp set/g)?.length, 1);
	});
});
