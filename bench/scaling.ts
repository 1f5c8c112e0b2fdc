/** How the cost of a command grows with the host: rules on nft, and interfaces with one program each. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inside, run, savedRules } from "./commands.ts";
import { type Candidate, type Effort, interleave, type Series } from "./measure.ts";
import { Owner } from "./owner.ts";
import { vipOf } from "./packets.ts";
import { Receiver } from "./receiver.ts";

export const RULE_COMMANDS = {
	restore: "iptables-daddr-restore of all rules",
	append: "iptables-daddr -A behind them",
	list: "iptables-daddr -S",
} as const;

export const INTERFACE_COMMANDS = {
	up: "l3dsr up of one service",
	again: "l3dsr up, nothing to do",
	status: "l3dsr status",
} as const;

/** Size → command → milliseconds. */
export type Scaling = ReadonlyMap<number, ReadonlyMap<string, Series>>;

/**
 * Rules with distinct addresses and ports, so that none shares a lookup. `bin`: the folder of l3dsr's
 * commands.
 */
export async function measureRules(effort: Effort, bin: string, sizes: readonly number[]): Promise<Scaling> {
	const [daddr, restore] = [join(bin, "iptables-daddr"), join(bin, "iptables-daddr-restore")];
	return measureSizes(effort, sizes, (size, host, folder) => {
		const saved = join(folder, `rules-${size}`);
		writeFileSync(saved, savedRules(size));
		const line = (verb: string) => [
			...[daddr, "-t", "raw", verb, "PREROUTING", "-s", "192.0.2.1", "-m", "dscp", "--dscp", "1"],
			...["-j", "DADDR", "--set-daddr", vipOf("ipv4", 1)],
		];
		return [
			undone(inside(host, RULE_COMMANDS.restore, [restore, saved]), [daddr, "-t", "raw", "-F"]),
			filled(host, [restore, saved], RULE_COMMANDS.append, line("-A"), line("-D")),
			filled(host, [restore, saved], RULE_COMMANDS.list, [daddr, "-t", "raw", "-S"]),
		];
	});
}

/** veth interfaces that the configuration names, each with one service. */
export async function measureInterfaces(
	effort: Effort,
	bin: string,
	sizes: readonly number[],
): Promise<Scaling> {
	const l3dsr = join(bin, "l3dsr");
	return measureSizes(effort, sizes, (size, host, folder) => {
		const names = Array.from({ length: size }, (_, index) => `d${index}`);
		const links = names.flatMap((name) => [
			`link add ${name} type veth peer name peer-${name}\n`,
			`link set ${name} up\n`,
		]);
		host.feed(links.join(""), "ip", "-batch", "-");
		const file = join(folder, `interfaces-${size}.yaml`);
		writeFileSync(
			file,
			`interfaces: [${names.join(", ")}]\nservices: [{ vip: ${vipOf("ipv4", 1)}, dscp: 1 }]\n`,
		);
		const [up, down] = [[l3dsr, "up", "-c", file] as const, [l3dsr, "down"] as const];
		return [
			undone(inside(host, INTERFACE_COMMANDS.up, up), down),
			filled(host, up, INTERFACE_COMMANDS.again, up, down),
			filled(host, up, INTERFACE_COMMANDS.status, [l3dsr, "status", "-c", file], down),
		];
	});
}

async function measureSizes(
	effort: Effort,
	sizes: readonly number[],
	candidatesOf: (size: number, host: Receiver, folder: string) => readonly Candidate[],
): Promise<Scaling> {
	const folder = mkdtempSync(join(tmpdir(), "l3dsr-scaling-"));
	try {
		const measured = new Map<number, ReadonlyMap<string, Series>>();
		for (const size of sizes) {
			using owner = new Owner();
			measured.set(size, await interleave(candidatesOf(size, owner.use(new Receiver()), folder), effort));
		}
		return measured;
	} finally {
		rmSync(folder, { recursive: true });
	}
}

/** Undoes the candidate's work outside the measured time, in the namespace that it has entered. */
function undone({ name, measure }: Candidate, undo: readonly string[]): Candidate {
	return {
		name,
		async measure() {
			const ms = await measure();
			run(undo);
			return ms;
		},
	};
}

/** A command on a host that `fill` has filled; filling and clearing happen outside the measured time. */
function filled(
	host: Receiver,
	fill: readonly string[],
	name: string,
	command: readonly string[],
	...undo: readonly (readonly string[])[]
): Candidate {
	const timed = inside(host, name, command);
	return {
		name,
		async measure() {
			host.enter();
			run(fill);
			const ms = await timed.measure();
			for (const one of undo) run(one);
			return ms;
		},
	};
}
