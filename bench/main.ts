/**
 * `make bench`, `make bench-quick`: measures everything in one run and writes docs/performance.md and
 * docs/performance.json. Run it as root; it works in its own network namespaces.
 *
 *     node --conditions=@l3dsr/source bench/main.ts [--quick] [--print] [SECTION …]
 *
 * Sections: test-run, receive-path, director, director-changes, throughput, commands, rules, interfaces,
 * proving, agent. With --print, or with sections named, the result goes to stdout only.
 */
import { execFileSync } from "node:child_process";
import { cpus, release, setPriority } from "node:os";
import { fileURLToPath } from "node:url";
import { expediteGracePeriods } from "../test/support/grace-periods.ts";
import { enterNetns } from "../test/support/netns.ts";
import { type Report, renderReport, writeReport } from "./report.ts";
import {
	agentSections,
	changesSection,
	commandSection,
	directorSections,
	interfacesSection,
	provingSection,
	receivePathSection,
	rulesSection,
	type Section,
	testRunSection,
	throughputSection,
} from "./sections.ts";

enterNetns();

const root = fileURLToPath(new URL("..", import.meta.url));

const EFFORT = {
	full: {
		testRun: { rounds: 11, tc: { samples: 60, packets: 500 }, xdp: { samples: 6, packets: 10_000 } },
		receivePath: { rounds: 11, samples: 20, frames: 4096 },
		throughput: { rounds: 5, seconds: 1 },
		commands: { rounds: 9, samples: 3 },
		scaling: { rounds: 3, samples: 1, warmUp: false },
		proving: { rounds: 5, samples: 1 },
		director: {
			testRun: { rounds: 11, samples: 6, packets: 20_000, flowBits: 17, vips: [1, 64, 1000] },
			live: { rounds: 11, samples: 6, packets: 8192 },
		},
		events: 1000,
		agent: { starts: 5, repairs: 3, restS: 0.5, settleS: 30, idleS: 60, scrapeS: 10 },
	},
	quick: {
		testRun: { rounds: 3, tc: { samples: 40, packets: 500 }, xdp: { samples: 3, packets: 10_000 } },
		receivePath: { rounds: 3, samples: 3, frames: 4096 },
		throughput: { rounds: 1, seconds: 1 },
		commands: { rounds: 3, samples: 1 },
		scaling: { rounds: 1, samples: 1, warmUp: false },
		proving: { rounds: 1, samples: 1 },
		director: {
			testRun: { rounds: 3, samples: 3, packets: 10_000, flowBits: 17, vips: [1, 64, 1000] },
			live: { rounds: 3, samples: 3, packets: 8192 },
		},
		events: 200,
		agent: { starts: 1, repairs: 1, restS: 1, settleS: 5, idleS: 60, scrapeS: 5 },
	},
} as const;

const args = process.argv.slice(2);
const named = args.filter((arg) => !arg.startsWith("-"));
const effort = args.includes("--quick") || process.env["BENCH_QUICK"] === "1" ? "quick" : "full";
const amount = EFFORT[effort];

/** Moves this process, and the processes that it starts, to these CPUs (in the format of taskset(1)). */
function runOn(list: string): void {
	execFileSync("taskset", ["-a", "-p", "-c", list, String(process.pid)], { stdio: "ignore" });
}

const allCpus = /^Cpus_allowed_list:\s*(\S+)$/m.exec(
	execFileSync("cat", ["/proc/self/status"], { encoding: "utf8" }),
)?.[1];
if (allCpus === undefined) throw new Error("/proc/self/status does not tell the CPUs");
/** The last one: the first handles most interrupts. */
const oneCpu = /\d+$/.exec(allCpus)?.[0] ?? "0";

interface Measurement {
	readonly cpus: string;
	/**
	 * This section calls the kernel's test run so often that waiting for RCU would take nearly all the time.
	 */
	readonly testRuns?: true;
	measure(): Promise<Section | readonly Section[]>;
}

const SECTIONS: Readonly<Record<string, Measurement>> = {
	"receive-path": { cpus: oneCpu, testRuns: true, measure: () => receivePathSection(amount.receivePath) },
	"test-run": { cpus: oneCpu, testRuns: true, measure: () => testRunSection(amount.testRun) },
	director: { cpus: oneCpu, testRuns: true, measure: () => directorSections(amount.director) },
	"director-changes": { cpus: allCpus, measure: async () => changesSection(amount.events) },
	throughput: { cpus: oneCpu, measure: () => throughputSection(amount.throughput) },
	commands: { cpus: allCpus, measure: () => commandSection(amount.commands, `${root}bin`) },
	rules: {
		cpus: allCpus,
		measure: () => rulesSection(amount.scaling, `${root}bin`, [10, 100, 1000, 10_000]),
	},
	interfaces: {
		cpus: allCpus,
		measure: () => interfacesSection(amount.scaling, `${root}bin`, [1, 10, 100, 500]),
	},
	proving: { cpus: allCpus, measure: () => provingSection(amount.proving, `${root}bin`) },
	agent: { cpus: allCpus, measure: () => agentSections(amount.agent, `${root}bin`, [10, 100, 1000]) },
};

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

const unknown = named.find((name) => !(name in SECTIONS));
if (unknown !== undefined) {
	console.error(`bench: no section ${unknown}; there are ${Object.keys(SECTIONS).join(", ")}`);
	process.exit(2);
}

setPriority(-20);
const sections: Section[] = [];
for (const [name, section] of Object.entries(SECTIONS)) {
	if (named.length > 0 && !named.includes(name)) continue;
	const start = performance.now();
	runOn(section.cpus);
	// 100 times as many test runs in a second, without a change to their own time.
	expediteGracePeriods(section.testRuns === true);
	try {
		sections.push(...[await section.measure()].flat());
	} catch (error) {
		// Print the minutes of measurements, although the docs show only a complete run.
		console.log(renderReport(reportOf(sections)));
		throw error;
	}
	console.error(`bench: ${name} took ${((performance.now() - start) / 1000).toFixed(0)} s`);
}
const report = reportOf(sections);
if (named.length === 0 && !args.includes("--print")) {
	writeReport(report, `${root}docs/performance.md`, `${root}docs/performance.json`);
	console.error("bench: wrote docs/performance.md and docs/performance.json");
}
console.log(renderReport(report));

function reportOf(measured: readonly Section[]): Report {
	return {
		machine: {
			cpu: cpus()[0]?.model ?? "an unknown CPU",
			cpus: cpus().length,
			kernel: release(),
			node: process.versions.node,
			date: new Date().toISOString().slice(0, 10),
		},
		effort,
		bars: measured.flatMap(({ bars }) => bars),
		tables: measured.map(({ table }) => table),
	};
}
