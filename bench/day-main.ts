/**
 * `make agent-day`: a day of the agent in fast motion (about 15 minutes), plotted into docs/pictures.
 * L3DSR_AGENT_DAY is the share of a day; less than a quarter is printed and not plotted. Fails if descriptors
 * grow, or memory in a whole day.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { enterNetns } from "../test/support/netns.ts";
import { growthOf, liveADay } from "./agent-day.ts";
import { plotOf, summaryOf } from "./day-plot.ts";

/**
 * Memory: heaps of this size vary by this much between two collections. In less than a day they have not
 * reached their final size.
 */
const ALLOWED = { agentMb: 8, httpMb: 8, agentDescriptors: 0, httpDescriptors: 0 } as const;
/** Share of a day. */
const LEAST_DRAWN = 0.25;
const OF_WHOLE_DAYS: readonly string[] = ["agentMb", "httpMb"];

enterNetns();
const root = fileURLToPath(new URL("..", import.meta.url));
const share = Number(process.env["L3DSR_AGENT_DAY"] ?? 1);
let told = 0;
const day = await liveADay(`${root}bin`, share, ({ share: lived, agentMb, httpMb }) => {
	if (lived < told) return;
	told += 0.05;
	console.error(
		`${(24 * share * lived).toFixed(1)} h: agent ${agentMb.toFixed(0)} MB, HTTP ${httpMb.toFixed(0)} MB`,
	);
});
console.log(summaryOf(day).join("\n"));
if (share >= LEAST_DRAWN) writeFileSync(`${root}docs/pictures/agent-day.svg`, plotOf(day));
const growth = growthOf(day);
for (const [what, allowed] of Object.entries(ALLOWED)) {
	const grown = growth[what as keyof typeof ALLOWED];
	if (grown <= allowed || (share < 1 && OF_WHOLE_DAYS.includes(what))) continue;
	console.error(`${what} has grown by ${grown.toFixed(1)} after the warm-up; at most ${allowed} is allowed`);
	process.exitCode = 1;
}
