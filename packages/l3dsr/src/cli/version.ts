/** `l3dsr version`: what a bug report needs to know first. */
import { readFileSync } from "node:fs";
import { arch, release } from "node:os";
import type { Command } from "commander";
import { EXIT, type ExitCode } from "../errors.ts";
import { type CliContext, writeJson } from "./context.ts";
import { VERSION } from "./package-version.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	command.option("--json", "print JSON");
	return async () => {
		const record = {
			l3dsr: VERSION,
			node: process.versions.node,
			kernel: release(),
			architecture: arch(),
			distribution: distribution(),
		};
		if (command.opts<{ json?: boolean }>().json === true) {
			writeJson(context.stdout, record);
		} else {
			const width = Math.max(...Object.keys(record).map((key) => key.length)) + 1;
			for (const [key, value] of Object.entries(record)) {
				context.stdout.write(`${key.padEnd(width)} ${value ?? "unknown"}\n`);
			}
		}
		return EXIT.done;
	};
}

/** PRETTY_NAME of os-release(5), or null where a system has none. */
function distribution(): string | null {
	try {
		const text = readFileSync("/etc/os-release", "utf8");
		return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1] ?? null;
	} catch {
		return null;
	}
}
