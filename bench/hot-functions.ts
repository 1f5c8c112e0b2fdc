/**
 * Writes scripts/hot-functions.txt: the beginning of each function that the commands of bench/commands.ts
 * run. The build compiles these ahead (scripts/code-cache.ts). Run it as root; it works in its own network
 * namespaces.
 *
 *     make hot-functions
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { HOT_FUNCTIONS, headOf } from "../scripts/code-cache.ts";
import { enterNetns } from "../test/support/netns.ts";
import { withCommands } from "./commands.ts";

/** The parts of a NODE_V8_COVERAGE file that are used here. */
interface Coverage {
	readonly result: readonly {
		readonly url: string;
		readonly functions: readonly {
			readonly ranges: readonly { readonly startOffset: number; readonly count: number }[];
		}[];
	}[];
}

enterNetns();
const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "l3dsr-hot-"));
try {
	await withCommands(join(root, "bin"), async (commands) => {
		process.env["NODE_V8_COVERAGE"] = folder; // for processes started from here on
		for (const { measure } of commands) await measure();
	});
	const hot = [...functionsRun(folder)].sort();
	writeFileSync(HOT_FUNCTIONS, `${hot.join("\n")}\n`);
	console.error(`hot-functions: ${hot.length} of them`);
} finally {
	rmSync(folder, { recursive: true });
}

/** The beginnings of the functions of bundles that have run. */
function functionsRun(coverage: string): Set<string> {
	const found = new Set<string>();
	for (const name of readdirSync(coverage)) {
		const { result }: Coverage = JSON.parse(readFileSync(join(coverage, name), "utf8"));
		for (const { url, functions } of result) {
			if (!/[\w-]+\.[0-9a-f]{16}\.js$/.test(url)) continue;
			const source = readFileSync(join(root, "dist", url.slice(url.lastIndexOf("/") + 1)), "latin1");
			for (const { ranges } of functions) {
				const [whole] = ranges;
				if (whole === undefined || whole.count === 0) continue;
				const head = headOf(source.slice(whole.startOffset));
				if (/\(|=>/.test(head) && !head.startsWith('"')) found.add(head); // the parts' own functions are known
			}
		}
	}
	return found;
}
