/**
 * Wall time of dsrctl with 60 IPv4 and 60 IPv6 services, in a new network namespace, as root:
 *
 *     make setup && unshare -n node --conditions=@l3dsr/source bench/dsrctl.ts [runs]
 *
 * Prints milliseconds, fastest and median of the runs (default 7), and their limits. Run it on a quiet
 * machine: most of the time is the start of Node itself, which the first line shows.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";

const runs = Number(process.argv[2] ?? 7);
const dsrctl = fileURLToPath(new URL("../bin/dsrctl", import.meta.url));
const directory = mkdtempSync(`${tmpdir()}/l3dsr-bench-`);

const services = Array.from(
	{ length: 60 },
	(_, n) => `192.0.2.${n + 1}=${n + 1}\n2001:db8::${n + 1}=${n + 1}\n`,
);
const file = `${directory}/sixty.conf`;
writeFileSync(file, services.join(""));

interface Measured {
	readonly name: string;
	/** Milliseconds. */
	readonly limit?: number;
	readonly command: readonly string[];
	/** Undoes the command, outside the measurement. */
	readonly reset?: readonly string[];
}

const run = (action: string): string[] => [dsrctl, "-f", file, action];
const CASES: readonly Measured[] = [
	{ name: "node -e 0", command: [process.execPath, "-e", "0"] },
	{ name: "start", limit: 500, command: run("start"), reset: run("stop") },
	{ name: "start, nothing to do", command: run("start") },
	{ name: "status", limit: 250, command: run("status") },
	{ name: "check", limit: 250, command: run("check") },
	{ name: "stop", limit: 500, command: run("stop"), reset: run("start") },
];

function execute([program = "", ...args]: readonly string[]): void {
	execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] });
}

function measure({ command, reset }: Measured): number[] {
	return Array.from({ length: runs }, () => {
		const begin = performance.now();
		execute(command);
		const took = performance.now() - begin;
		if (reset !== undefined) execute(reset);
		return took;
	}).sort((a, b) => a - b);
}

try {
	execFileSync("ip", ["link", "set", "lo", "up"]);
	console.log(`${"ms".padEnd(22)}${"fastest".padStart(8)}${"median".padStart(8)}${"limit".padStart(8)}`);
	for (const one of CASES) {
		// The next measurement needs the services running.
		if (one.name === "start, nothing to do") execute(run("start"));
		const times = measure(one);
		const cells = [times[0], times[Math.floor(times.length / 2)], one.limit];
		console.log(one.name.padEnd(22) + cells.map((cell) => (cell?.toFixed(0) ?? "").padStart(8)).join(""));
	}
} finally {
	rmSync(directory, { recursive: true });
}
