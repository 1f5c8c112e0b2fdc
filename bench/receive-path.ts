/** The cost that each way of rewriting adds to the receive path of a namespace. */
import { type Attached, type Hook, Program, tcxIngress, xdpNative } from "@l3dsr/bpf";
import type { Family } from "@l3dsr/packet";
import { EbpfWatcher } from "../packages/l3dsr/src/inspect/watch/ebpf-watch.ts";
import { ORDINAL_STEP } from "../packages/l3dsr/src/model/ruleset.ts";
import type { HookName } from "../packages/l3dsr/src/rewrite/ebpf/kernel/attachment.ts";
import { openDatapath } from "../packages/l3dsr/src/rewrite/host-datapath.ts";
import { setRules } from "../packages/l3dsr/test/rewrite/set-rules.ts";
import { loadFrameSource } from "./live-frames.ts";
import { type Candidate, type Effort, interleave, type Series } from "./measure.ts";
import { Owner } from "./owner.ts";
import { frame, MOST_VIPS, serviceRules, vipOf, vipRules } from "./packets.ts";
import { Receiver } from "./receiver.ts";
import { emptySpec } from "./test-run.ts";

/** With drop_unicast_in_l2_multicast set (receiver.ts), IP drops these packets after the routing decision. */
const BROADCAST_MAC = "ff:ff:ff:ff:ff:ff";

/** Default rate of `l3dsr watch`, in packets per second. */
const WATCH_RATE = 1000;

/**
 * Prepares the receiver that this process has entered; returns a function that counts the rewritten packets.
 */
type SetUp = (receiver: Receiver, owner: Owner) => Promise<(() => number | Promise<number>) | undefined>;

export interface Path {
	readonly name: string;
	readonly family: Family;
	/** The packets have DSCPs from 1 on in turn; this is their number. */
	readonly dscps: number;
	/** `veth`: over a veth pair, through the driver's receive routine and its native XDP hook. */
	readonly arrival: "stack" | "veth";
	/** The path whose cost is subtracted; absent for such a path itself. */
	readonly base?: string;
	readonly setUp: SetUp;
}

const nothing: SetUp = async () => undefined;

function empty(hook: Hook<Attached, object>, kind: "tc" | "xdp"): SetUp {
	return async ({ device }, owner) => {
		hook.attach(device, owner.use(Program.load(emptySpec(kind))));
		return undefined;
	};
}

/** l3dsr's rules, applied as its commands apply them. `hook`: for ebpf, whose rules name their interface. */
function ours(family: Family, vips: number, hook?: HookName, services = false): SetUp {
	return async ({ device }) => {
		const datapath = openDatapath({
			...(hook === undefined
				? { datapath: "nft" }
				: { datapath: "ebpf", hook, openChecksums: "accept" as const }),
		});
		const rules = services
			? serviceRules(family, vips, device.name)
			: vipRules(family, vips, hook === undefined ? undefined : device.name);
		const entries = rules.map((rule, index) => ({ rule, ordinal: index * ORDINAL_STEP }));
		await setRules(datapath, { entries });
		return async () => {
			const observed = await datapath.observe();
			return Number(observed.rules.reduce((sum, { counters }) => sum + counters.packets, 0n));
		};
	};
}

/** Attaches the program of `l3dsr watch` before the rules: still there, or detached again. */
function watched(rules: SetUp, still: boolean): SetUp {
	return async (receiver, owner) => {
		const count = await rules(receiver, owner);
		const watcher = new EbpfWatcher({ filter: {}, flows: false, rate: WATCH_RATE });
		await watcher.refresh(() => {});
		if (still) owner.use(watcher);
		else watcher[Symbol.dispose]();
		return count;
	};
}

/** As an administrator would write it without a map: one rule for each DSCP. */
function nftLinear(rules: number): SetUp {
	return async (receiver) => {
		const lines = Array.from(
			{ length: rules },
			(_, index) => `ip dscp ${(index + 1) % 64} counter ip daddr set ${vipOf("ipv4", index + 1)}\n`,
		);
		const chain = `type filter hook prerouting priority raw\n${lines.join("")}`;
		receiver.feed(`table ip bench {\nchain prerouting {\n${chain}}\n}\n`, "nft", "-f", "-");
		return () => sumOf(receiver.run("nft", "list", "table", "ip", "bench"), /packets (\d+)/g);
	};
}

/**
 * iptables has no target that rewrites the destination this early. MARK is in the kernel and does not end the
 * chain either, so this measures the walk over the rules.
 */
function iptables(rules: number): SetUp {
	return async (receiver) => {
		const lines = Array.from(
			{ length: rules },
			(_, index) => `-A PREROUTING -m dscp --dscp ${(index + 1) % 64} -j MARK --set-mark ${index + 1}\n`,
		);
		const input = `*raw\n:PREROUTING ACCEPT\n${lines.join("")}COMMIT\n`;
		receiver.feed(input, "iptables-legacy-restore");
		return () =>
			sumOf(receiver.run("iptables-legacy-save", "-c", "-t", "raw"), /^\[(\d+):\d+\] -A PREROUTING/gm);
	};
}

function sumOf(text: string, pattern: RegExp): number {
	return [...text.matchAll(pattern)].reduce((sum, [, digits]) => sum + Number(digits), 0);
}

const tcx = tcxIngress as Hook<Attached, object>;

const stack4 = { family: "ipv4", dscps: 1, arrival: "stack", base: "nothing" } as const;
const many = { ...stack4, dscps: MOST_VIPS, base: "nothing, 63 DSCPs" } as const;
const stack6 = { family: "ipv6", dscps: 1, arrival: "stack", base: "nothing, IPv6" } as const;
const cable = { family: "ipv4", dscps: 1, arrival: "veth", base: "nothing, over a veth cable" } as const;

export const PATHS: readonly Path[] = [
	{ name: "nothing", family: "ipv4", dscps: 1, arrival: "stack", setUp: nothing },
	{ name: "nothing, 63 DSCPs", family: "ipv4", dscps: MOST_VIPS, arrival: "stack", setUp: nothing },
	{ ...stack4, name: "empty tcx program", setUp: empty(tcx, "tc") },
	{ ...stack4, name: "ebpf at tcx, 1 VIP", setUp: ours("ipv4", 1, "tcx") },
	{ ...stack4, name: "ebpf at tcx, 1 VIP, watched before", setUp: watched(ours("ipv4", 1, "tcx"), false) },
	{ ...stack4, name: "ebpf at tcx, 1 VIP, being watched", setUp: watched(ours("ipv4", 1, "tcx"), true) },
	{ ...many, name: "ebpf at tcx, 63 VIPs", setUp: ours("ipv4", MOST_VIPS, "tcx") },
	{ ...many, name: "ebpf at tcx, 63 services", setUp: ours("ipv4", MOST_VIPS, "tcx", true) },
	{ ...stack4, name: "ebpf at clsact, 1 VIP", setUp: ours("ipv4", 1, "clsact") },
	{ ...stack4, name: "ebpf at generic XDP, 1 VIP", setUp: ours("ipv4", 1, "xdp-generic") },
	{ ...stack4, name: "nft, 1 VIP", setUp: ours("ipv4", 1) },
	{ ...many, name: "nft, 63 VIPs", setUp: ours("ipv4", MOST_VIPS) },
	{ ...stack4, name: "nftables, 64 linear rules", setUp: nftLinear(64) },
	{ ...stack4, name: "iptables, 1 rule", setUp: iptables(1) },
	{ ...stack4, name: "iptables, 64 linear rules", setUp: iptables(64) },
	{ name: "nothing, IPv6", family: "ipv6", dscps: 1, arrival: "stack", setUp: nothing },
	{ ...stack6, name: "empty tcx program, IPv6", setUp: empty(tcx, "tc") },
	{ ...stack6, name: "ebpf at tcx, 1 VIP, IPv6", setUp: ours("ipv6", 1, "tcx") },
	{ ...stack6, name: "nft, 1 VIP, IPv6", setUp: ours("ipv6", 1) },
	{ name: "nothing, over a veth cable", family: "ipv4", dscps: 1, arrival: "veth", setUp: nothing },
	{ ...cable, name: "empty XDP program", setUp: empty(xdpNative as Hook<Attached, object>, "xdp") },
	{ ...cable, name: "ebpf at native XDP, 1 VIP", setUp: ours("ipv4", 1, "xdp") },
	{ ...cable, name: "ebpf at tcx, 1 VIP, over a veth cable", setUp: ours("ipv4", 1, "tcx") },
];

/** The receive path's effort: how many frames make one sample. */
export interface ReceiveEffort extends Effort {
	readonly frames: number;
}

/**
 * Nanoseconds per packet of each path, from the frame's arrival to its end. Moves this process between
 * namespaces: run it in a namespace of its own (`enterNetns`). Throws if a packet did not arrive, or was not
 * rewritten.
 */
export async function measureReceivePath(
	effort: ReceiveEffort,
	paths: readonly Path[] = PATHS,
): Promise<Map<string, Series>> {
	using owner = new Owner();
	const ready: { path: Path; candidate: Candidate; sent: () => number; count: Counting }[] = [];
	for (const path of paths) {
		const receiver = owner.use(new Receiver());
		receiver.enter();
		if (path.arrival === "veth") receiver.run("ethtool", "-K", "v0", "gro", "on");
		const count = await path.setUp(receiver, owner);
		const frames = Array.from({ length: path.dscps }, (_, index) =>
			frame(path.family, "udp", index + 1, path.family === "ipv4" ? { destination: BROADCAST_MAC } : {}),
		);
		const redirectTo = path.arrival === "veth" ? receiver.peer.index : undefined;
		const source = owner.use(
			loadFrameSource({ frames, ...(redirectTo === undefined ? {} : { redirectTo }) }),
		);
		let sent = 0;
		const measure = (): number => {
			receiver.enter();
			const before = receiver.received(path.family);
			sent += effort.frames;
			const ns = source.send((redirectTo ? receiver.peer : receiver.device).index, effort.frames);
			const arrived = receiver.received(path.family) - before;
			if (arrived < effort.frames) {
				throw new Error(`${path.name}: of ${effort.frames} packets only ${arrived} arrived`);
			}
			return ns;
		};
		const enterAndCount = async (): Promise<number> => {
			receiver.enter();
			return (await count?.()) ?? sent;
		};
		ready.push({ path, candidate: { name: path.name, measure }, sent: () => sent, count: enterAndCount });
	}
	const measured = await interleave(
		ready.map(({ candidate }) => candidate),
		effort,
	);
	for (const { path, sent, count } of ready) {
		const rewritten = await count();
		if (rewritten !== sent())
			throw new Error(`${path.name}: of ${sent()} packets ${rewritten} were rewritten`);
	}
	return measured;
}

type Counting = () => Promise<number>;
