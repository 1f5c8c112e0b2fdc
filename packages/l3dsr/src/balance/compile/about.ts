/** What a program was compiled for, stored in a map, so that another process can tell what it finds. */
import { BPF_MAP_FLAG, type MapSpec } from "@l3dsr/bpf";
import { Layout } from "@l3dsr/linux";
import { ABOUT_MAP, MAGIC, SCHEMA } from "../tables/layout.ts";
import type { ProgramOptions } from "./options.ts";

/** Raise it if the program changes so that running programs should be replaced. */
const REVISION = 3;

const ABOUT = new Layout({
	magic: "u32",
	schema: "u32",
	revision: "u32",
	ifindex: "u32",
	mac: { bytes: 6 },
	/** 0: no tag. */
	vlan: "u16",
	/** Indexes into the lists below. */
	hook: "u8",
	forward: "u8",
	flows: "u8",
	clock: "u8",
	/** FLAG bits. */
	flags: "u32",
});

const HOOKS = ["xdp", "tc"] as const;
const FORWARDS = ["resolved", "kernel"] as const;
const FLOWS = ["transition", "always", "none"] as const;
const CLOCKS = ["bpf_ktime_get_ns", "bpf_ktime_get_coarse_ns"] as const;
const FLAG = { hasMac: 1, anyPort: 2, echoReply: 4, bleach: 8, ipv6ChecksumFlag: 16 } as const;

/** The options without the tables' sizes and hash, which are read from the tables. */
export type ProgramSettings = Omit<
	ProgramOptions,
	"multiplier" | "vipBits" | "rings" | "reals" | "flowBits" | "fragmentBits"
>;

/** The map's value. Two programs with the same tables and the same value are the same. */
export function encodeAbout(settings: ProgramSettings): Uint8Array {
	const { ifindex, mac, vlan, hook, forward, flows, clock } = settings;
	const flags =
		(mac === undefined ? 0 : FLAG.hasMac) |
		(settings.anyPort ? FLAG.anyPort : 0) |
		(settings.echoReply ? FLAG.echoReply : 0) |
		(settings.bleach ? FLAG.bleach : 0) |
		(settings.ipv6ChecksumFlag ? FLAG.ipv6ChecksumFlag : 0);
	return ABOUT.encode({
		magic: MAGIC,
		schema: SCHEMA,
		revision: REVISION,
		ifindex,
		...(mac === undefined ? {} : { mac }),
		vlan: vlan ?? 0,
		hook: HOOKS.indexOf(hook),
		forward: FORWARDS.indexOf(forward),
		flows: FLOWS.indexOf(flows),
		clock: CLOCKS.indexOf(clock),
		flags,
	});
}

/** Undefined if the value is not ours or has another schema. */
export function decodeAbout(value: Uint8Array): ProgramSettings | undefined {
	const about = ABOUT.decode(value);
	if (about.magic !== MAGIC || about.schema !== SCHEMA) return undefined;
	const [hook, forward, flows, clock] = [
		HOOKS[about.hook],
		FORWARDS[about.forward],
		FLOWS[about.flows],
		CLOCKS[about.clock],
	];
	if (hook === undefined || forward === undefined || flows === undefined || clock === undefined)
		return undefined;
	const has = (flag: number) => (about.flags & flag) !== 0;
	return {
		ifindex: about.ifindex,
		...(has(FLAG.hasMac) ? { mac: about.mac } : {}),
		...(about.vlan === 0 ? {} : { vlan: about.vlan }),
		hook,
		forward,
		flows,
		clock,
		anyPort: has(FLAG.anyPort),
		echoReply: has(FLAG.echoReply),
		bleach: has(FLAG.bleach),
		ipv6ChecksumFlag: has(FLAG.ipv6ChecksumFlag),
	};
}

export function aboutMap(settings: ProgramSettings): MapSpec {
	const value = encodeAbout(settings);
	return {
		name: ABOUT_MAP,
		type: "BPF_MAP_TYPE_ARRAY",
		keySize: 4,
		valueSize: value.length,
		maxEntries: 1,
		flags: BPF_MAP_FLAG.BPF_F_RDONLY_PROG,
		contents: [{ key: new Uint8Array(4), value }],
		frozen: true,
	};
}
