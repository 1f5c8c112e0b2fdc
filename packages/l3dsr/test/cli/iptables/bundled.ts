/** The commands as they are installed: bundled from the current source, and started as processes. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Outcome } from "./memory-host.ts";

const root = fileURLToPath(new URL("../../../../..", import.meta.url));

export class BundledCommands implements Disposable {
	readonly #folder: string;

	private constructor(folder: string) {
		this.#folder = folder;
	}

	/** The bundle is inside the checkout, where it finds node_modules. */
	static async build(): Promise<BundledCommands> {
		const cache = join(root, "node_modules", ".cache");
		mkdirSync(cache, { recursive: true });
		const folder = mkdtempSync(join(cache, "l3dsr-test-"));
		await build({
			absWorkingDir: root,
			entryPoints: ["packages/l3dsr/src/cli/iptables-daddr.ts"],
			outfile: join(folder, "iptables-daddr.cjs"),
			bundle: true,
			platform: "node",
			target: "node24",
			conditions: ["@l3dsr/source"],
			format: "cjs",
			external: ["koffi"],
			define: { "import.meta.url": "import_meta_url", "import.meta.dirname": "__dirname" },
			banner: { js: 'const import_meta_url = require("node:url").pathToFileURL(__filename).href;' },
			logLevel: "error",
		});
		for (const name of ["iptables-daddr", "ip6tables-daddr"]) {
			for (const command of [name, `${name}-save`, `${name}-restore`]) {
				const path = join(folder, command);
				const call = `require("./iptables-daddr.cjs").main(${JSON.stringify(command)});`;
				writeFileSync(path, `#!${process.execPath}\n${call}\n`);
				chmodSync(path, 0o755);
			}
		}
		writeFileSync(join(folder, "package.json"), '{ "type": "commonjs" }');
		return new BundledCommands(folder);
	}

	path(name: string): string {
		return join(this.#folder, name);
	}

	start(name: string, ...argv: readonly string[]): ChildProcess {
		return spawn(this.path(name), argv, { stdio: ["pipe", "pipe", "pipe"] });
	}

	/** Runs a command to its end; `input` is its stdin. */
	async run(name: string, argv: readonly string[], input = ""): Promise<Outcome> {
		return finished(this.start(name, ...argv), input);
	}

	[Symbol.dispose](): void {
		rmSync(this.#folder, { recursive: true });
	}
}

/** The output of a process until it ends. */
export async function finished(child: ChildProcess, input = ""): Promise<Outcome> {
	const output = { stdout: "", stderr: "" };
	for (const name of ["stdout", "stderr"] as const) {
		child[name]?.setEncoding("utf8").on("data", (text: string) => {
			output[name] += text;
		});
	}
	// Ignore a command that ends without reading its input.
	child.stdin?.on("error", () => {});
	child.stdin?.end(input);
	const [status] = (await once(child, "close")) as [number | null]; // the event's documented arguments
	return { exitCode: status ?? -1, ...output };
}
