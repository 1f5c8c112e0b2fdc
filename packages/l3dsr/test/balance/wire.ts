/**
 * A director's interface with an observable wire: a veth pair in the file's namespace. Frames sent on `wire0`
 * arrive at `dir0`, where the director is attached; the frames that it sends arrive at `wire0` and are
 * counted there by destination.
 */
import {
	arrayKey,
	ETHERNET,
	IPV4,
	IPV6,
	Program,
	ProgramBuilder,
	part,
	struct,
	sumPerCpu,
	view,
	XDP,
	XDP_ACTION,
	xdpNative,
} from "@l3dsr/bpf";
import { interfaceByName, PacketSocket } from "@l3dsr/linux";
import { dscp, parseAddress, portOf } from "@l3dsr/packet";
import { ip } from "../../../../test/support/netns.ts";
import { type BalanceWish, lowerFleet } from "../../src/balance/service.ts";
import type { DirectorSettings, HealthOf } from "../../src/model/director.ts";
import type { Fleet, FleetVip, Pool, Real } from "../../src/model/fleet.ts";

export const DIRECTOR = "dir0";
export const WIRE = "wire0";
export const DIRECTOR_MAC = "02:00:00:00:00:01";
export const ROUTER_MAC = "02:00:00:00:00:fe";
/** Real server n is 10.1.0.n and 2001:db8:1::n. */
export const realAddress = (n: number) => [`10.1.0.${n}`, `2001:db8:1::${n.toString(16)}`] as const;
export const VIP = ["192.0.2.10", "2001:db8:a::10"] as const;
/** Destinations that are not a real server's. */
const OTHER = 256;

export const SETTINGS: DirectorSettings = {
	interfaces: [DIRECTOR],
	hook: "xdp",
	forward: "resolved",
	flows: "transition",
	bleach: false,
	openChecksums: "accept",
};

const MAP = "wire_count";
/** One counter for each real server of a family, and two for other destinations. */
const SLOTS = 2 * (OTHER + 1);

/**
 * An XDP program that counts by destination. A veth transmits frames at XDP only if its peer has a program.
 */
function counter(): Program {
	const p = new ProgramBuilder({ name: "wire_count", type: "BPF_PROG_TYPE_XDP" });
	const map = p.map({
		name: MAP,
		type: "BPF_MAP_TYPE_PERCPU_ARRAY",
		keySize: 4,
		valueSize: 8,
		maxEntries: SLOTS,
	});
	const ctx = p.context(XDP);
	const pass = p.label("pass");
	const count = p.label("count");
	const key = p.stack("key", struct("key", { slot: "u32" }));
	const data = p.load(ctx.data, { name: "data", in: 6 });
	const end = p.load(ctx.data_end, { name: "end", in: 2 });
	p.prove(data, 14 + 20, end, pass);
	const isIpv6 = p.label("ipv6");
	const slot = p.u32("slot", 3);
	p.gotoIf(view(data, ETHERNET).type, "==", 0x86dd, isIpv6);
	p.gotoIf(view(data, ETHERNET).type, "!=", 0x0800, pass);
	const other4 = p.label("elsewhere");
	{
		const { destination } = view(data, IPV4, 14);
		p.gotoUnlessBytes(part(destination, 0, 3), Uint8Array.of(10, 1, 0), other4);
		p.load(part(destination, 3, 1), { into: slot });
		p.goto(count);
		p.place(other4);
		slot.set(OTHER);
		p.goto(count);
	}
	p.place(isIpv6);
	p.prove(data, 14 + 40, end, pass);
	const other6 = p.label("elsewhere too");
	{
		const { destination } = view(data, IPV6, 14);
		const low = part(destination, 8, 7);
		p.gotoUnlessBytes(part(destination, 0, 8), Uint8Array.of(0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0), other6);
		p.gotoUnlessBytes(low, new Uint8Array(7), other6);
		p.load(part(destination, 15, 1), { into: slot });
		slot.add(OTHER + 1);
		p.goto(count);
		p.place(other6);
		slot.set(OTHER + 1 + OTHER);
	}
	p.place(count);
	p.store(key.slot, slot);
	{
		using found = p.lookup(map, key.slot, pass, "counter");
		p.increment(view(found, struct("counter", { packets: "u64" })).packets, 1);
	}
	p.placeBare(pass);
	p.exit(XDP_ACTION.PASS);
	return Program.load(p.build());
}

export class Wire implements Disposable {
	readonly #counter: Program;
	#socket: PacketSocket | undefined;

	/** `reals`: the number of real servers to which the director's host has routes, behind one router. */
	constructor(reals = 0) {
		ip(`link add ${DIRECTOR} address ${DIRECTOR_MAC} type veth peer name ${WIRE}`);
		ip(`address add 10.9.0.1/24 dev ${DIRECTOR}`);
		ip(`address add 2001:db8:9::1/64 dev ${DIRECTOR} nodad`);
		for (const name of [DIRECTOR, WIRE]) ip(`link set ${name} up`);
		ip(`neigh replace 10.9.0.254 lladdr ${ROUTER_MAC} dev ${DIRECTOR} nud permanent`);
		ip(`neigh replace 2001:db8:9::254 lladdr ${ROUTER_MAC} dev ${DIRECTOR} nud permanent`);
		if (reals > 0) {
			ip(`route add 10.1.0.0/24 via 10.9.0.254`);
			ip(`route add 2001:db8:1::/64 via 2001:db8:9::254`);
		}
		this.#counter = counter();
		xdpNative.attach(interfaceByName(WIRE), this.#counter);
	}

	/** Sends frames to the director. */
	send(frames: readonly Uint8Array[]): void {
		this.#socket ??= new PacketSocket({ interfaceName: WIRE, etherType: 0 });
		this.#socket.send(frames);
	}

	/**
	 * Sends `frames` and returns those that the director sent out again, in order; waits for as many as went
	 * in.
	 */
	exchange(frames: readonly Uint8Array[], timeoutMs = 2000): Uint8Array[] {
		using capture = new PacketSocket({ interfaceName: WIRE, ignoreOutgoing: true });
		this.send(frames);
		const back: Uint8Array[] = [];
		const deadline = performance.now() + timeoutMs;
		while (back.length < frames.length && performance.now() < deadline) {
			const frame = capture.receive(deadline - performance.now());
			if (frame !== undefined && (frame.etherType === 0x0800 || isUnicast6(frame.bytes)))
				back.push(frame.bytes);
		}
		return back;
	}

	/**
	 * Packets that arrived at the wire, by number of the real server; `other` for anything else. Both
	 * families together.
	 */
	arrived(): { readonly reals: readonly number[]; readonly other: number } {
		const map = this.#counter.map(MAP);
		const read = (slot: number) =>
			Number(sumPerCpu(map, map.lookup(arrayKey(slot)) ?? new Uint8Array(0))[0] ?? 0n);
		return {
			reals: Array.from({ length: OTHER }, (_, n) => read(n) + read(OTHER + 1 + n)),
			other: read(OTHER),
		};
	}

	[Symbol.dispose](): void {
		this.#socket?.[Symbol.dispose]();
		this.#counter[Symbol.dispose]();
		ip(`link delete ${DIRECTOR}`);
	}
}

/** Neighbour discovery is the kernel's own. */
function isUnicast6(frame: Uint8Array): boolean {
	return frame[0] !== 0x33 && frame[20] !== 58;
}

export function real(n: number, more: Partial<Real> = {}): Real {
	return {
		name: `r${n}`,
		addresses: realAddress(n).map(must),
		weight: 1,
		state: "enabled",
		...more,
	};
}

/** One VIP of both families with TCP and UDP on port 80, and optionally more. */
export function fleetOf(
	reals: readonly Real[],
	vip: Partial<FleetVip> = {},
	pool: Partial<Pool> = {},
): Fleet {
	return {
		vips: [
			{
				name: "web",
				addresses: VIP.map(must),
				dscp: { ipv4: dscp(7), ipv6: dscp(7) },
				services: [{ port: portOf(80), protocols: ["tcp", "udp"], pool: "front", affinity: "flow" }],
				echo: "kernel",
				...vip,
			},
		],
		pools: [{ name: "front", reals, drainMs: 900_000, floor: 0, ...pool }],
	};
}

export function wishOf(
	reals: readonly Real[],
	vip: Partial<FleetVip> = {},
	isHealthy: (...real: Parameters<HealthOf>) => boolean = () => true,
): BalanceWish {
	return lowerFleet(fleetOf(reals, vip), (...real) => (isHealthy(...real) ? "healthy" : "failing"));
}

function must(text: string) {
	const address = parseAddress(text);
	if (address === undefined) throw new RangeError(text);
	return address;
}
