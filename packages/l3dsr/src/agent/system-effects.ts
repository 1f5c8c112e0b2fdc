/** The real effects of this process, in its network namespace. */
import { listInterfaces } from "@l3dsr/linux";
import { holdPath, readHold } from "../host/hold.ts";
import { runningPrograms } from "../host/suspects.ts";
import type { AgentEffects, Ears } from "./effects.ts";
import { FileEars } from "./hearing/files.ts";
import type { Hear } from "./hearing/heard.ts";
import { hearNetwork } from "./hearing/network.ts";
import { ProgramEars } from "./hearing/programs.ts";
import { hearRuleset } from "./hearing/ruleset.ts";

export const SYSTEM_AGENT_EFFECTS: AgentEffects = {
	listen,
	hold: () => readHold(),
	runningPrograms,
	monotonicMs: () => performance.now(),
	now: () => new Date(),
};

function listen(tell: Hear): Ears {
	using opened = new DisposableStack();
	let count = 0;
	let countAtMark = 0;
	const hear: Hear = (heard) => {
		count++;
		tell(heard);
	};
	const network = opened.use(hearNetwork(hear, { nextHops: false }));
	const ruleset = opened.use(hearRuleset(hear));
	const programs = opened.use(new ProgramEars(hear));
	const files = opened.use(new FileEars(hear));
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
