/**
 * Runs each test file in its own process, slowest files first so that none of them is left for the end.
 * Reports the slowest at the end.
 *
 *     test.ts FILE...
 */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";
import { expediteGracePeriods } from "../test/support/grace-periods.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Files that take more than about ten seconds, from the report of a run. */
const LONGEST = [
	"test/packaging/libraries.test.ts",
	"packages/l3dsr/test/lab/lab-command.test.ts",
	"packages/web/test/page.test.ts",
	"test/bench/sections.test.ts",
	"packages/l3dsr/test/cli/services/stopped.test.ts",
	"packages/l3dsr/test/cli/services/drift.test.ts",
	"packages/l3dsr/test/probe/faults.test.ts",
	"packages/l3dsr/test/serve/front.test.ts",
	"packages/l3dsr/test/truth/hosts.test.ts",
	"packages/l3dsr/test/daemons/managers.test.ts",
	"packages/l3dsr/test/daemons/firewalls.test.ts",
	"packages/l3dsr/test/agent/contention.test.ts",
	"packages/l3dsr/test/cli/services/any-state.test.ts",
	"packages/l3dsr/test/balance/director.test.ts",
	"packages/l3dsr/test/balance/director-flows.test.ts",
	"test/docs/console.test.ts",
	"packages/l3dsr/test/cli/trace/capture.test.ts",
	"packages/l3dsr/test/cli/iptables/kernel.test.ts",
];
const SLOWEST = 10;
/** Half of the time, tests wait for timers, for answers and for other processes. */
const CONCURRENCY = availableParallelism() + 1;

const given = process.argv.slice(2).map((file) => resolve(file));
const first = LONGEST.map((file) => resolve(root, file)).filter((file) => given.includes(file));
const files = [...first, ...given.filter((file) => !first.includes(file))];
if (expediteGracePeriods(true)) {
	console.log(
		"test: the kernel's RCU grace periods are expedited while this runs (/sys/kernel/rcu_expedited)",
	);
}

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
	process.once(signal, () => {
		stop.abort();
		process.exit(1);
	});
}

const took = new Map<string, number>();
const tests = run({ files, concurrency: CONCURRENCY, signal: stop.signal });
tests.on("test:fail", ({ todo }) => {
	if (todo === undefined || todo === false) process.exitCode = 1;
});
tests.on("test:summary", ({ file, duration_ms: ms }) => {
	if (file !== undefined) took.set(file, ms);
});
tests.compose(new spec()).pipe(process.stdout);
tests.on("end", () => {
	const slowest = [...took].sort(([, a], [, b]) => b - a).slice(0, SLOWEST);
	for (const [file, ms] of slowest) {
		process.stderr.write(`test: ${(ms / 1000).toFixed(1).padStart(6)} s  ${file.replace(root, "")}\n`);
	}
});
