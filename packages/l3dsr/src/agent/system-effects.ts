/** The real effects of this process, in its network namespace. */
import { listInterfaces } from "@l3dsr/linux";
import { holdPath, readHold } from "../host/hold.ts";
import { runningPrograms } from "../host/suspects.ts";
import type { AgentEffects, EventMonitor } from "./effects.ts";
import type { EventHandler } from "./events/event.ts";
import { FileMonitor } from "./events/files.ts";
import { monitorNetwork } from "./events/network.ts";
import { ProgramMonitor } from "./events/programs.ts";
import { monitorRuleset } from "./events/ruleset.ts";

export const SYSTEM_AGENT_EFFECTS: AgentEffects = {
	monitor,
	hold: () => readHold(),
	runningPrograms,
	monotonicMs: () => performance.now(),
	processorMs,
	now: () => new Date(),
};

function monitor(onEvent: EventHandler): EventMonitor {
	using opened = new DisposableStack();
	let count = 0;
	let countAtMark = 0;
	const report: EventHandler = (event) => {
		count++;
		onEvent(event);
	};
	const network = opened.use(monitorNetwork(report, { nextHops: false }));
	const ruleset = opened.use(monitorRuleset(report));
	const programs = opened.use(new ProgramMonitor(report));
	const files = opened.use(new FileMonitor(report));
	const hold = { path: holdPath(), trigger: "command" } as const;
	files.watch([hold]);
	const owned = opened.move();
	const catchUp = (): void => {
		for (const one of [network, ruleset, programs, files]) one.read();
	};
	return {
		mark() {
			catchUp();
			countAtMark = count;
		},
		quietSinceMark() {
			catchUp();
			return count === countAtMark;
		},
		watchPrograms(names) {
			programs.watch(names.size === 0 ? [] : listInterfaces().filter(({ name }) => names.has(name)));
		},
		watchFiles: (paths) =>
			files.watch([
				hold,
				...paths.map(({ path, isFolder }) => ({ path, trigger: "file" as const, entries: isFolder })),
			]),
		[Symbol.dispose]: () => owned[Symbol.dispose](),
	};
}

function processorMs(): number {
	const { user, system } = process.cpuUsage();
	return (user + system) / 1000;
}
