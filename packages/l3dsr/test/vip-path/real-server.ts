/**
 * A real server for tests: a namespace on a link to the test's own, with the VIP on its loopback, and the
 * rule created by nft(8), which shares no code with l3dsr.
 */
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { NetworkNamespace, namedNamespacePath } from "@l3dsr/linux";
import { type Address, parseAddress } from "@l3dsr/packet";
import { ip, Netns, run } from "../../../../test/support/netns.ts";

export const VIP = { ipv4: address("192.0.2.10"), ipv6: address("2001:db8:a::10") } as const;
export const CODE = 7;

export function address(text: string): Address {
	const found = parseAddress(text);
	if (found === undefined) throw new RangeError(text);
	return found;
}

/** Real server `n` is 10.1.n.2 and 2001:db8:1:n::2, behind the interface `real`n of this namespace. */
export class RealServer implements AsyncDisposable {
	readonly addresses: { readonly ipv4: Address; readonly ipv6: Address };
	readonly netns: Netns;
	readonly #device: string;
	readonly #servers: Server[] = [];
	readonly #peers = new Set<Socket>();

	constructor(n: number) {
		this.#device = `real${n}`;
		this.addresses = { ipv4: address(`10.1.${n}.2`), ipv6: address(`2001:db8:1:${n}::2`) };
		this.netns = new Netns(`real${n}`);
		// During duplicate address detection, an address answers nothing for a second.
		for (const scope of ["all", "default"]) {
			const setting = `net.ipv6.conf.${scope}.accept_dad=0`;
			this.netns.run("sysctl", "-qw", setting);
			run("sysctl", "-qw", setting);
		}
		for (const setting of ["net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"])
			this.netns.run("sysctl", "-qw", setting);
		ip(`link add real${n} type veth peer name eth0 netns ${this.netns.name}`);
		ip(`address add 10.1.${n}.1/24 dev real${n}`);
		ip(`address add 2001:db8:1:${n}::1/64 dev real${n} nodad`);
		ip(`link set real${n} up`);
		this.netns.ip(`address add 10.1.${n}.2/24 dev eth0`);
		this.netns.ip(`address add 2001:db8:1:${n}::2/64 dev eth0 nodad`);
		this.netns.ip("link set eth0 up");
		this.netns.ip(`route add default via 10.1.${n}.1`);
		this.netns.ip(`-6 route add default via 2001:db8:1:${n}::1`);
		this.netns.ip(`address add ${VIP.ipv4.text}/32 dev lo`);
		this.netns.ip(`address add ${VIP.ipv6.text}/128 dev lo nodad`);
		this.addRule();
	}

	addRule(): void {
		this.netns.run(
			"nft",
			"add table inet marks { chain arrive { type filter hook prerouting priority raw; }; }",
		);
		this.netns.run("nft", `add rule inet marks arrive ip dscp ${CODE} ip daddr set ${VIP.ipv4.text}`);
		this.netns.run("nft", `add rule inet marks arrive ip6 dscp ${CODE} ip6 daddr set ${VIP.ipv6.text}`);
	}

	removeRule(): void {
		this.netns.run("nft", "delete table inet marks");
	}

	/** Drops all arriving packets silently. */
	fallSilent(): void {
		this.netns.run(
			"nft",
			"add table inet silent { chain arrive { type filter hook prerouting priority -400; policy drop; }; }",
		);
	}

	speakAgain(): void {
		this.netns.run("nft", "delete table inet silent");
	}

	/** Makes `server` listen there, on all addresses of both families; returns the port. */
	listen(server: Server, port = 0): number {
		using namespace = NetworkNamespace.open(namedNamespacePath(this.netns.name));
		// Without a host, Node opens and binds the socket at once.
		namespace.within(() => server.listen(port));
		this.#servers.push(server);
		server.on("connection", (peer) => {
			this.#peers.add(peer);
			peer.once("close", () => this.#peers.delete(peer));
		});
		return (server.address() as AddressInfo).port; // of a server that listens on TCP
	}

	/** A server that accepts connections and sends nothing. */
	listenTcp(): number {
		return this.listen(createServer((peer) => peer.on("error", () => {}).resume()));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const server of this.#servers) server.close();
		// Including those whose client has disappeared.
		for (const peer of this.#peers) peer.destroy();
		// A deleted namespace exists until its last socket is gone.
		ip(`link delete ${this.#device}`);
		this.netns[Symbol.dispose]();
	}
}
