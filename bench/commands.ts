/**
 * Wall time of commands from the start of the process to its end, when the rule is active. `iptables -A` of
 * this host and an empty Node process are measured for comparison.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Candidate, type Effort, interleave, type Series } from "./measure.ts";
import { Owner } from "./owner.ts";
import { vipOf } from "./packets.ts";
import { Receiver } from "./receiver.ts";

/** Services of each family for dsrctl and l3dsr. */
export const SERVICES = 60;

/** Number of rules, each with its own address and port, that are restored at once. */
export const RESTORED = 1000;

export const COMMAND = {
	node: "an empty Node process",
	version: "l3dsr --version",
	help: "l3dsr --help",
	iptables: "iptables -A",
	everywhere: "iptables-daddr -A (nft)",
	interface: "iptables-daddr -A -i (ebpf)",
	restore: `iptables-daddr-restore, ${RESTORED} rules (nft)`,
	iptablesRestore: `iptables-restore, ${RESTORED} rules`,
	start: "dsrctl start",
	status: "dsrctl status",
	check: "dsrctl check",
	stop: "dsrctl stop",
	up: "l3dsr up, nothing to do",
	serviceStatus: "l3dsr status",
	show: "l3dsr",
	upYaml: "l3dsr up, nothing to do, all in YAML",
} as const;

/**
 * Milliseconds of each of COMMAND. `bin`: the folder of l3dsr's commands. Moves this process between
 * namespaces; the commands run on every CPU that it may use.
 */
export async function measureCommands(effort: Effort, bin: string): Promise<Map<string, Series>> {
	return withCommands(bin, (candidates) => interleave(candidates, effort));
}

/** Passes each of COMMAND that can run here to `use`, as a candidate with that name. */
export async function withCommands<T>(
	bin: string,
	use: (candidates: readonly Candidate[]) => Promise<T>,
): Promise<T> {
	const folder = mkdtempSync(join(tmpdir(), "l3dsr-bench-"));
	try {
		using owner = new Owner();
		const nothing = join(folder, "nothing.cjs");
		writeFileSync(nothing, "");
		const [file, services] = [join(folder, "services.conf"), serviceLines()];
		writeFileSync(file, services);
		const l3dsr = join(bin, "l3dsr");
		const candidates = [
			timed(owner, COMMAND.node, [process.execPath, nothing]),
			timed(owner, COMMAND.version, [l3dsr, "--version"]),
			timed(owner, COMMAND.help, [l3dsr, "--help"]),
			added(owner, COMMAND.iptables, "iptables", MARK),
			added(owner, COMMAND.everywhere, join(bin, "iptables-daddr"), TARGET),
			added(owner, COMMAND.interface, join(bin, "iptables-daddr"), ["-i", "v0", ...TARGET]),
		];
		const saved = join(folder, "saved.txt");
		writeFileSync(saved, savedRules(RESTORED));
		const daddr = join(bin, "iptables-daddr");
		candidates.push(restored(owner, COMMAND.restore, [`${daddr}-restore`, saved], daddr));
		const marked = join(folder, "marked.txt");
		writeFileSync(marked, savedRules(RESTORED, MARK));
		candidates.push(restored(owner, COMMAND.iptablesRestore, ["iptables-restore", marked], "iptables"));
		const host = owner.use(new Receiver());
		for (const action of ["start", "status", "check", "stop"] as const) {
			candidates.push(inside(host, COMMAND[action], [join(bin, "dsrctl"), "-f", file, action]));
		}
		const settings = join(folder, "l3dsr.yaml");
		writeFileSync(settings, "interfaces: [v0]\ninclude: services.conf\n");
		const included = running(owner, [l3dsr, "up", "-c", settings]);
		candidates.push(
			inside(included, COMMAND.up, [l3dsr, "up", "-c", settings]),
			inside(included, COMMAND.serviceStatus, [l3dsr, "status", "-c", settings]),
			inside(included, COMMAND.show, [l3dsr]),
		);
		const yaml = join(folder, "all.yaml");
		writeFileSync(yaml, `interfaces: [v0]\nservices:\n${serviceEntries()}`);
		const upYaml = [l3dsr, "up", "-c", yaml];
		candidates.push(inside(running(owner, upYaml), COMMAND.upYaml, upYaml));
		return await use(candidates);
	} finally {
		rmSync(folder, { recursive: true });
	}
}

/** Without variables that could make Node slower, also for the empty process. */
export function environment(): NodeJS.ProcessEnv {
	return { ...process.env, NODE_OPTIONS: undefined };
}

const TARGET: readonly string[] = ["-j", "DADDR", "--set-daddr", vipOf("ipv4", 1)];
const MARK: readonly string[] = ["-j", "MARK", "--set-mark", "1"];

/** A file of iptables-save in which no two rules match the same packets. */
export function savedRules(count: number, target = TARGET): string {
	const rules = Array.from(
		{ length: count },
		(_, i) =>
			`-A PREROUTING -s 10.${i >> 8}.${i & 255}.0/24 -p tcp -m dscp --dscp ${i % 64} -m tcp --dport ${i + 1} ` +
			`${target.join(" ")}\n`,
	);
	return `*raw\n:PREROUTING ACCEPT [0:0]\n${rules.join("")}COMMIT\n`;
}

/** Restores into empty tables, which are flushed again outside the measured time. */
function restored(owner: Owner, name: string, command: readonly string[], flusher: string): Candidate {
	const restore = inside(owner.use(new Receiver()), name, command);
	return {
		name,
		measure() {
			const ms = restore.measure();
			run([flusher, "-t", "raw", "-F"]);
			return ms;
		},
	};
}

/** Sixty of each family, DSCPs 1–60. */
function serviceLines(): string {
	const lines = (["ipv4", "ipv6"] as const).flatMap((family) =>
		Array.from({ length: SERVICES }, (_, index) => `${vipOf(family, index + 1)}=${index + 1}\n`),
	);
	return lines.join("");
}

/** The same as entries of l3dsr.yaml. */
function serviceEntries(): string {
	const entries = (["ipv4", "ipv6"] as const).flatMap((family) =>
		Array.from(
			{ length: SERVICES },
			(_, index) =>
				`  - name: ${family}-${index + 1}\n    vip: ${vipOf(family, index + 1)}\n    dscp: ${index + 1}\n`,
		),
	);
	return entries.join("");
}

/** A host whose services are up. */
function running(owner: Owner, up: readonly string[]): Receiver {
	const receiver = owner.use(new Receiver());
	receiver.run("ip", "address", "add", "198.18.0.1/24", "dev", "v0");
	receiver.enter();
	run(up);
	return receiver;
}

/** Appends the first rule, and deletes it again outside the measured time. */
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

export function run([program = "", ...args]: readonly string[]): void {
	const { status, error, stderr } = spawnSync(program, args, {
		encoding: "utf8",
		env: environment(),
		stdio: ["ignore", "ignore", "pipe"],
	});
	if (error !== undefined) throw error;
	if (status !== 0) throw new Error(`${[program, ...args].join(" ")} ended with ${status}: ${stderr}`);
}
