/**
 * Wall time of commands, from starting the process to its end: by then the rule is active. Beside them, as
 * yardsticks, `iptables -A` of this host and a Node process that does nothing.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Candidate, type Effort, interleave, type Series } from "./measure.ts";
import { Owner } from "./owner.ts";
import { vipOf } from "./packets.ts";
import { Receiver } from "./receiver.ts";

/** Services of each family that dsrctl is measured with. */
export const SERVICES = 60;

export const COMMAND = {
	node: "an empty Node process",
	iptables: "iptables -A",
	everywhere: "iptables-daddr -A (nft)",
	interface: "iptables-daddr -A -i (ebpf)",
	start: "dsrctl start",
	status: "dsrctl status",
	check: "dsrctl check",
	stop: "dsrctl stop",
	up: "l3dsr up, nothing to do",
} as const;

/**
 * Milliseconds of each of COMMAND. `bin`: the folder of l3dsr's commands. Moves this process from namespace
 * to namespace; the commands run on every CPU that it may use.
 */
export async function measureCommands(effort: Effort, bin: string): Promise<Map<string, Series>> {
	const folder = mkdtempSync(join(tmpdir(), "l3dsr-bench-"));
	try {
		using owner = new Owner();
		const nothing = join(folder, "nothing.cjs");
		writeFileSync(nothing, "");
		const [file, services] = [join(folder, "services.conf"), serviceLines()];
		writeFileSync(file, services);
		const candidates = [
			timed(owner, COMMAND.node, [process.execPath, nothing]),
			added(owner, COMMAND.iptables, "iptables", ["-j", "MARK", "--set-mark", "1"]),
			added(owner, COMMAND.everywhere, join(bin, "iptables-daddr"), TARGET),
			added(owner, COMMAND.interface, join(bin, "iptables-daddr"), ["-i", "v0", ...TARGET]),
		];
		const host = owner.use(new Receiver());
		for (const action of ["start", "status", "check", "stop"] as const) {
			candidates.push(inside(host, COMMAND[action], [join(bin, "dsrctl"), "-f", file, action]));
		}
		const settings = join(folder, "l3dsr.yaml");
		writeFileSync(settings, "interfaces: [v0]\ninclude: services.conf\n");
		const up = [join(bin, "l3dsr"), "up", "-c", settings];
		const running = owner.use(new Receiver());
		running.run("ip", "address", "add", "198.18.0.1/24", "dev", "v0");
		running.enter();
		run(up);
		candidates.push(inside(running, COMMAND.up, up));
		return await interleave(candidates, effort);
	} finally {
		rmSync(folder, { recursive: true });
	}
}

const TARGET = ["-j", "DADDR", "--set-daddr", vipOf("ipv4", 1)];

/** Sixty of each family, DSCPs 1–60. */
function serviceLines(): string {
	const lines = (["ipv4", "ipv6"] as const).flatMap((family) =>
		Array.from({ length: SERVICES }, (_, index) => `${vipOf(family, index + 1)}=${index + 1}\n`),
	);
	return lines.join("");
}

/** A rule appended where there is none yet; it is taken away again outside the measured time. */
function added(owner: Owner, name: string, program: string, rest: readonly string[]): Candidate {
	const args = ["-t", "raw", "PREROUTING", "-m", "dscp", "--dscp", "1", ...rest];
	const line = (verb: string) => [program, ...args.slice(0, 2), verb, ...args.slice(2)];
	const receiver = owner.use(new Receiver());
	const add = inside(receiver, name, line("-A"));
	return {
		name,
		measure() {
			const ms = add.measure();
			run(line("-D"));
			return ms;
		},
	};
}

function timed(owner: Owner, name: string, command: readonly string[]): Candidate {
	return inside(owner.use(new Receiver()), name, command);
}

/** Times a command in the receiver's namespace; it must succeed. */
export function inside(receiver: Receiver, name: string, command: readonly string[]): Candidate {
	return {
		name,
		measure() {
			receiver.enter();
			const start = performance.now();
			run(command);
			return performance.now() - start;
		},
	};
}

function run([program = "", ...args]: readonly string[]): void {
	const { status, error, stderr } = spawnSync(program, args, { encoding: "utf8" });
	if (error !== undefined) throw error;
	if (status !== 0) throw new Error(`${[program, ...args].join(" ")} ended with ${status}: ${stderr}`);
}
