/** `l3dsr version`: what a bug report needs first. */
import { readFileSync } from "node:fs";
import { kernelRelease } from "@l3dsr/linux";
import type { Command } from "commander";
import { type TcChecksum, tcChecksum } from "../rewrite/ebpf/kernel/checksum-state.ts";
import { type CliContext, writeJson } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { VERSION } from "./package-version.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	command
		.description(
			"Prints the versions of l3dsr, Node and the kernel, and what the kernel offers: for bug reports.",
		)
		.option("--json", "print JSON");
	return async () => {
		const record = {
			l3dsr: VERSION,
			node: process.versions.node,
			kernel: kernelRelease(),
			architecture: process.arch,
			distribution: distribution(),
		};
		const checksum = tcChecksum();
		if (command.opts<{ json?: boolean }>().json === true) {
			writeJson(context.stdout, "version", { ...record, tcChecksum: checksum });
		} else {
			const lines = { ...record, "tc checksum": tcChecksumText(checksum) };
			const width = Math.max(...Object.keys(lines).map((key) => key.length)) + 1;
			for (const [key, value] of Object.entries(lines)) {
				context.stdout.write(`${key.padEnd(width)} ${value ?? "unknown"}\n`);
			}
		}
		return EXIT.done;
	};
}

/** About the eBPF datapath at tc. */
function tcChecksumText({ by, why }: TcChecksum): string {
	const text = {
		program: "written by the program",
		helper: "written by the kernel's helper",
		unknown: "unknown",
	};
	return why === undefined ? text[by] : `${text[by]} (${why})`;
}

/** PRETTY_NAME of os-release(5), or null if the system has none. */
function distribution(): string | null {
	try {
		const text = readFileSync("/etc/os-release", "utf8");
		return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1] ?? null;
	} catch {
		return null;
	}
}
