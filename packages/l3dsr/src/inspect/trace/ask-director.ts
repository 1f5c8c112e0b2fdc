/**
 * What a director does with a packet, and why: computed by the oracle, with the current tables of the
 * running director, or with those of a configuration. Loaded only if there is a director.
 */
import { addressFromBytes, ETHER_TYPE } from "@l3dsr/packet";
import { Director } from "../../balance/kernel/director.ts";
import { direct, type OracleResult } from "../../balance/oracle/oracle.ts";
import { wishedTables } from "../../balance/oracle/wished-tables.ts";
import { REASONS } from "../../balance/reason.ts";
import { NOBODY, RING_SLOTS } from "../../balance/ring.ts";
import { lowerFleet, protocolName } from "../../balance/service.ts";
import type { DesiredDirector } from "../../model/director.ts";
import type { InputPacket } from "./input-packet.ts";

/** What `trace` reports about the director. */
export interface DirectorAnswer {
	/** `xdp of eth0`. */
	readonly place: string;
	readonly outcome: "forward" | "pass" | "drop" | "answer";
	/** The counter that counts it, and its meaning; a forwarded packet is counted for its real server. */
	readonly reason?: string;
	readonly meaning?: string;
	/** For a packet for which a real server was chosen. */
	readonly choice?: {
		readonly vip: string;
		readonly protocol: string;
		readonly port: number | "any";
		readonly slot: number;
		readonly slots: number;
		/** `ring`: who has the slot; `before`: who had it before its transition; `entry`: as the flow is remembered. */
		readonly by: "ring" | "before" | "entry";
	};
	readonly real?: string;
	/** How a forwarded packet leaves: by an interface, or by the kernel's routing. Absent if no director runs. */
	readonly way?: "interface" | "kernel";
	readonly interface?: string;
}

export interface AskedDirector {
	readonly answer: DirectorAnswer;
	/** The packet afterwards, from its network header. */
	readonly bytes: Uint8Array;
	/** False: the stack of this host does not see it. */
	readonly goesOn: boolean;
}

/** A director that can explain what it does with a frame. */
interface Asked {
	/** `xdp of eth0`. */
	readonly place: string;
	/** MAC address of the interface; absent: any will do. */
	readonly mac?: Uint8Array;
	/** Names by index; undefined if no director runs, so the egress interface is unknown. */
	readonly interfaces?: ReadonlyMap<number, string>;
	/** Undefined once the director has gone. */
	readonly explain: (frame: Uint8Array) => OracleResult | undefined;
	readonly close: () => void;
}

export class DirectorOracle implements Disposable {
	readonly #asked: Asked;
	readonly #on: string;

	private constructor(on: string, asked: Asked) {
		this.#asked = asked;
		this.#on = on;
	}

	/** The director that runs there. Throws KERNEL_*, DATAPATH_FOREIGN. */
	static open(on: string): DirectorOracle {
		const director = Director.open();
		const { programs } = director.status();
		const own = programs.find((one) => one.interface === on);
		const mac = own?.settings?.mac;
		return new DirectorOracle(on, {
			place: `${own?.hook ?? "a hook"} of ${on}`,
			...(mac === undefined ? {} : { mac }),
			interfaces: new Map(
				programs.flatMap(({ interface: name, settings }) =>
					settings === undefined ? [] : [[settings.ifindex, name] as const],
				),
			),
			explain: (frame) => director.explain(frame, on),
			close: () => director[Symbol.dispose](),
		});
	}

	/** A director as a configuration would start it: all real servers are healthy, and nothing is in transition. */
	static configured(
		on: string,
		{ settings, fleet }: Pick<DesiredDirector, "settings" | "fleet">,
	): DirectorOracle {
		const { hook, flows, vlan, bleach } = settings;
		const tables = wishedTables(lowerFleet(fleet), { bleach });
		return new DirectorOracle(on, {
			place: `${hook} of ${on}`,
			explain: (frame) =>
				direct(
					frame,
					tables,
					{
						ifindex: 0,
						mac: frame.slice(0, 6),
						forward: "kernel",
						flows,
						hook: hook === "tc" ? "tc" : "xdp",
						...(vlan === undefined ? {} : { vlan }),
					},
					0,
				),
			close: () => {},
		});
	}

	/** Undefined if the director's program is gone. Changes nothing. */
	ask({ bytes, vlans }: InputPacket, sourceMac: readonly number[] | undefined): AskedDirector | undefined {
		const link = frameHeader(bytes, vlans, this.#asked.mac, sourceMac);
		const frame = new Uint8Array(link.length + bytes.length);
		frame.set(link);
		frame.set(bytes, link.length);
		const result = this.#asked.explain(frame);
		if (result === undefined) return undefined;
		const after = result.frame.subarray(link.length);
		const runs = this.#asked.interfaces !== undefined;
		const goesOn = result.what === "pass" || (runs && result.what === "forward" && result.by === "kernel");
		return { answer: this.#answer(result, after), bytes: after, goesOn };
	}

	#answer(result: OracleResult, after: Uint8Array): DirectorAnswer {
		const { what, choice, reason } = result;
		const head = {
			place: this.#asked.place,
			outcome: what,
			...(reason === undefined ? {} : { reason, meaning: REASONS[reason].meaning }),
		};
		const found =
			choice === undefined || choice.real === NOBODY
				? undefined
				: choice.service.reals[choice.real]?.address.text;
		// A later fragment follows the first one, without a new choice.
		const real = what === "forward" ? destinationOf(after) : found;
		return {
			...head,
			...(choice === undefined
				? {}
				: {
						choice: {
							vip: choice.service.address.text,
							protocol: protocolName(choice.service.protocol),
							port: choice.service.port === 0 ? ("any" as const) : choice.service.port,
							slot: choice.slot,
							slots: RING_SLOTS,
							by: choice.by,
						},
					}),
			...(real === undefined ? {} : { real }),
			...(what === "forward" ? this.#way(result) : {}),
		};
	}

	#way({
		by,
		ifindex,
	}: Extract<OracleResult, { what: "forward" }>): Pick<DirectorAnswer, "way" | "interface"> {
		const { interfaces } = this.#asked;
		if (interfaces === undefined) return {};
		if (by === "kernel") return { way: "kernel" };
		const name = by === "tx" ? this.#on : interfaces.get(ifindex ?? 0);
		return { way: "interface", ...(name === undefined ? {} : { interface: name }) };
	}

	[Symbol.dispose](): void {
		this.#asked.close();
	}
}

/** The frame as it would arrive there: to the interface's own address, with the packet's original tags. */
function frameHeader(
	packet: Uint8Array,
	vlans: readonly number[],
	mac: Uint8Array | undefined,
	sourceMac: readonly number[] | undefined,
): Uint8Array {
	const isIpv6 = (packet[0] ?? 0) >> 4 === 6;
	const tags = vlans.flatMap((id) => [0x81, 0x00, id >> 8, id & 0xff]);
	const type = isIpv6 ? ETHER_TYPE.ipv6 : ETHER_TYPE.ipv4;
	return Uint8Array.from([
		...(mac ?? new Uint8Array(6)),
		...(sourceMac ?? new Uint8Array(6)),
		...tags,
		type >> 8,
		type & 0xff,
	]);
}

function destinationOf(packet: Uint8Array): string {
	const isIpv6 = (packet[0] ?? 0) >> 4 === 6;
	return addressFromBytes(isIpv6 ? packet.slice(24, 40) : packet.slice(16, 20)).text;
}
