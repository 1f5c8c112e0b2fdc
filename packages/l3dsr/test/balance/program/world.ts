/**
 * A director's tables twice: as plain values for the oracle, and in the maps of a loaded program. Both
 * process the same packets, and must agree.
 */
import {
	arrayKey,
	BPF_F_TEST,
	BpfMap,
	type FeatureName,
	Program,
	probeFeature,
	sumPerCpu,
	testRun,
	XDP_ACTION,
	xdpNative,
} from "@l3dsr/bpf";
import { interfaceByName, type MappedMemory } from "@l3dsr/linux";
import { type Address, type Dscp, dscp, parseAddress } from "@l3dsr/packet";
import { compileDirector } from "../../../src/balance/compile/compile.ts";
import type { ProgramOptions } from "../../../src/balance/compile/options.ts";
import { FlowMemory, FragmentMemory } from "../../../src/balance/oracle/memory.ts";
import type { OracleService, OracleTables, OracleVip } from "../../../src/balance/oracle/oracle.ts";
import { REASONS, type Reason } from "../../../src/balance/reason.ts";
import { RING_SLOTS } from "../../../src/balance/ring.ts";
import { seedOf } from "../../../src/balance/service.ts";
import {
	BUCKET_BYTES,
	HEADER,
	type MAP,
	REAL,
	REASON_SLOTS,
	tableSpecs,
	VIP,
} from "../../../src/balance/tables/layout.ts";
import { encodeReal, type Hop } from "../../../src/balance/tables/real-entry.ts";
import {
	encodeVipTable,
	offsetOf,
	planVipTable,
	type VipHash,
	type VipRow,
} from "../../../src/balance/tables/vip-table.ts";
import type { Rings } from "../../../src/balance/transition.ts";
import type { Affinity, EchoMode } from "../../../src/model/fleet.ts";

export const OWN_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
export const OWN_IFINDEX = 7;
const TC_SHOT = 2;
/** The number of table entries for each service's real servers. */
const ROOM = 8;
const firstOf = (service: number) => REASON_SLOTS + service * ROOM;

export function addressOf(text: string): Address {
	const address = parseAddress(text);
	if (address === undefined) throw new RangeError(text);
	return address;
}

export interface ServiceSketch {
	readonly vip: string;
	readonly protocol: 6 | 17;
	/** 0: any. */
	readonly port: number;
	readonly dscp: number;
	readonly affinity: Affinity;
	readonly reals: readonly RealSketch[];
}

export interface RealSketch {
	readonly address: string;
	readonly up: boolean;
	readonly hop: Hop;
}

export interface WorldSketch {
	readonly vips: readonly { readonly address: string; readonly echo: EchoMode }[];
	readonly services: readonly ServiceSketch[];
	/** Codes that must not reach these real servers. */
	readonly codes: readonly { readonly address: string; readonly codes: bigint }[];
}

export type WorldOptions = Pick<ProgramOptions, "forward" | "flows"> &
	Partial<
		Pick<
			ProgramOptions,
			"vlan" | "clock" | "hook" | "mac" | "ifindex" | "ipv6ChecksumFlag" | "flowBits" | "fragmentBits"
		>
	>;

interface Service {
	readonly sketch: ServiceSketch;
	readonly number: number;
	since: number;
	changed: number;
}

/** Size of the memories in bits: small, but large enough for the tests' packets. */
export const MEMORY_BITS = 12;

/** Linux 5.10 has neither feature of a director's program. */
const hasFeature = (name: FeatureName): boolean => probeFeature(name).answer === "yes";

export class World implements Disposable {
	readonly program: Program;
	readonly options: ProgramOptions;
	readonly #sketch: WorldSketch;
	readonly #services: readonly Service[];
	readonly #maps = new Map<keyof typeof MAP, BpfMap>();
	readonly #memory = new Map<keyof typeof MAP, MappedMemory>();
	readonly #flows: FlowMemory;
	readonly #fragments: FragmentMemory;
	#tables: OracleTables | undefined;
	readonly #table: VipHash;

	/**
	 * `attachTo`: a veth; with a program that is attached, a test run does not change the kernel's
	 * dispatcher.
	 */
	constructor(sketch: WorldSketch, options: WorldOptions, attachTo?: string) {
		this.#sketch = sketch;
		this.#services = sketch.services.map((one, number) => ({
			sketch: one,
			number,
			since: 0,
			changed: 0,
		}));
		this.#table = planVipTable(this.#rows());
		const { multiplier, bits } = this.#table;
		this.options = {
			hook: "xdp",
			ifindex: OWN_IFINDEX,
			mac: OWN_MAC,
			clock: hasFeature("coarseClock") ? "bpf_ktime_get_coarse_ns" : "bpf_ktime_get_ns",
			ipv6ChecksumFlag: hasFeature("csumReplaceIpv6"),
			flowBits: MEMORY_BITS,
			fragmentBits: MEMORY_BITS,
			...options,
			anyPort: sketch.services.some(({ port }) => port === 0),
			echoReply: sketch.vips.some(({ echo }) => echo === "reply"),
			bleach: sketch.codes.length > 0,
			multiplier,
			vipBits: bits,
			rings: sketch.services.length,
			reals: firstOf(sketch.services.length),
		};
		this.#flows = new FlowMemory(this.options.flowBits);
		this.#fragments = new FragmentMemory(this.options.fragmentBits);
		const specs = tableSpecs(this.options);
		const byName = new Map<string, BpfMap>();
		for (const name of Object.keys(specs) as (keyof typeof specs)[]) {
			const map = BpfMap.create(specs[name]);
			this.#maps.set(name, map);
			byName.set(map.info.name, map);
			if (name !== "counters") this.#memory.set(name, map.mapMemory({ writable: true }));
		}
		this.program = Program.load(compileDirector(this.options), { maps: byName });
		if (attachTo !== undefined) xdpNative.attach(interfaceByName(attachTo), this.program);
		this.write();
	}

	/** The bytes of a table, shared with the program. */
	bytes(name: keyof typeof MAP): Uint8Array {
		const memory = this.#memory.get(name);
		if (memory === undefined) throw new RangeError(name);
		return memory.bytes;
	}

	/** The rings of a service, shared with the program; unwritten slots have real server 0. */
	rings(service: number): Rings {
		const ring = (name: "ring" | "before") => {
			const { buffer, byteOffset } = this.bytes(name);
			return new Uint16Array(buffer, byteOffset + HEADER.size + service * RING_SLOTS * 2, RING_SLOTS);
		};
		return { now: ring("ring"), before: ring("before") };
	}

	/** Sets when a service's transition began, and when its last change was, in ticks. */
	setTransition(service: number, since: number, changed: number): void {
		const found = this.#services[service];
		if (found === undefined) throw new RangeError(`service ${service}`);
		found.since = since;
		found.changed = changed;
	}

	/** Copies the values to the program's tables. */
	write(): void {
		this.#tables = undefined;
		const rows = this.#rows();
		this.bytes("vips").set(encodeVipTable({ rows, ...this.#table, generation: 1n }));
		for (const { number, sketch } of this.#services) {
			sketch.reals.forEach(({ address, up, hop }, index) => {
				const entry = encodeReal({
					address: addressOf(address),
					dscp: dscp(sketch.dscp),
					up,
					health: "healthy",
					hop,
					base: { packets: 0n, bytes: 0n },
				});
				this.bytes("reals").set(entry, HEADER.size + (firstOf(number) + index) * REAL.size);
			});
		}
	}

	#rows(): readonly VipRow[] {
		const places = this.#services.map(({ sketch, number, since, changed }) => ({
			...sketch,
			address: addressOf(sketch.vip),
			place: {
				number,
				first: firstOf(number),
				room: ROOM,
				seed: seedOf({ ...sketch, address: addressOf(sketch.vip) }),
				affinity: sketch.affinity,
				since,
				changed,
			},
		}));
		return [
			...places.map(
				({ address, protocol, port, place }): VipRow => ({ kind: "service", address, protocol, port, place }),
			),
			...this.#sketch.vips.map(({ address, echo }): VipRow => {
				const first = places.find(({ vip }) => vip === address);
				return {
					kind: "vip",
					address: addressOf(address),
					echo,
					...(first === undefined ? {} : { place: first.place }),
				};
			}),
			...this.#sketch.codes.map(
				({ address, codes }): VipRow => ({ kind: "real", address: addressOf(address), codes }),
			),
		];
	}

	/** The same for the oracle, whose memories are those of this world. */
	tables(): OracleTables {
		this.#tables ??= this.#makeTables();
		return this.#tables;
	}

	#makeTables(): OracleTables {
		const services = this.#services.map(
			({ sketch, number, since, changed }): OracleService => ({
				address: addressOf(sketch.vip),
				protocol: sketch.protocol,
				port: sketch.port,
				dscp: dscp(sketch.dscp) as Dscp,
				affinity: sketch.affinity,
				seed: seedOf({ ...sketch, address: addressOf(sketch.vip) }),
				rings: this.rings(number),
				reals: sketch.reals.map(({ address, up, hop }, index) => ({
					address: addressOf(address),
					number: firstOf(number) + index,
					up,
					health: "healthy",
					hop: oracleHop(hop),
				})),
				since,
				changed,
			}),
		);
		const vips = this.#sketch.vips.map(({ address, echo }): OracleVip => {
			const first = services.find((one) => one.address.text === address);
			return { address: addressOf(address), echo, ...(first === undefined ? {} : { first }) };
		});
		const codes = this.#sketch.codes.map((one) => ({ ...one, address: addressOf(one.address) }));
		return { services, vips, codes, flows: this.#flows, fragments: this.#fragments };
	}

	/**
	 * `summed`: the packet comes as from a network card that has summed it; throws if the program breaks that
	 * sum.
	 */
	run(frame: Uint8Array, summed = false): { readonly verdict: string; readonly frame: Uint8Array } {
		const { verdict, data } = testRun(this.program, {
			data: frame,
			...(summed ? { flags: BPF_F_TEST.BPF_F_TEST_SKB_CHECKSUM_COMPLETE } : {}),
		});
		if (this.options.hook === "tc")
			return { verdict: verdict === TC_SHOT ? "DROP" : "PASS", frame: data.slice() };
		const name = (Object.keys(XDP_ACTION) as (keyof typeof XDP_ACTION)[]).find(
			(one) => XDP_ACTION[one] === verdict,
		);
		if (name === undefined) throw new Error(`verdict ${verdict}`);
		return { verdict: name, frame: data.slice() };
	}

	counted(): { readonly reasons: Record<string, bigint>; readonly reals: readonly (readonly bigint[])[] } {
		const map = this.#maps.get("counters");
		if (map === undefined) throw new RangeError("counters");
		const read = (slot: number) => sumPerCpu(map, map.lookup(arrayKey(slot)) ?? new Uint8Array(0));
		const reasons = Object.fromEntries(
			(Object.keys(REASONS) as Reason[]).map((reason) => [reason, read(REASONS[reason].slot)[0] ?? 0n]),
		);
		const reals = Array.from({ length: this.options.reals }, (_, number) => read(number));
		return { reasons, reals };
	}

	/** The used entries of the memory of flows as `bucket: entry`, in no particular order. */
	rememberedFlows(): string[] {
		const bytes = this.bytes("flows");
		const view = new DataView(
			bytes.buffer,
			bytes.byteOffset + HEADER.size,
			BUCKET_BYTES << this.options.flowBits,
		);
		const found: string[] = [];
		for (let at = 0; at < view.byteLength; at += 8) {
			const entry = view.getBigUint64(at, true);
			if (entry !== 0n) found.push(`${at >> 6}: ${entry.toString(16)}`);
		}
		return found;
	}

	[Symbol.dispose](): void {
		this.program[Symbol.dispose]();
		for (const memory of this.#memory.values()) memory[Symbol.dispose]();
		for (const map of this.#maps.values()) map[Symbol.dispose]();
	}
}

export const VIP_BYTES = VIP.size;
export { offsetOf };

function oracleHop(hop: Hop): OracleTables["services"][number]["reals"][number]["hop"] {
	switch (hop.to) {
		case "interface": {
			const macs = new Uint8Array(12);
			macs.set(hop.nextHop);
			macs.set(hop.ownMac, 6);
			return { to: "interface", ifindex: hop.ifindex, macs, mtu: hop.mtu };
		}
		case "kernel":
			return hop;
		case "unresolved":
			return { to: "nowhere" };
	}
}
