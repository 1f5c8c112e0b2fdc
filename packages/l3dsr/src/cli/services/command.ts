/** What up, down, status, check and diff share: their options, and how they begin. */
import { type Command, Option } from "commander";
import { L3dsrError } from "../../errors.ts";
import { CONFIG_FILE } from "../../sources/source-files.ts";
import { diagnosticsOf } from "../error-table.ts";
import type { ExitCode } from "../exit-codes.ts";
import { inNamespace } from "../namespace.ts";
import { secondsOf } from "../option-values.ts";
import { type PrivilegedCommand, requirePrivilegesOf } from "../privileges.ts";
import { type ServiceHost, SYSTEM_HOST } from "./host.ts";

export interface ServiceOptions {
	readonly config: string;
	readonly json?: boolean;
	readonly netns?: string;
	/** Print the plan and change nothing. */
	readonly dryRun?: boolean;
	readonly wait: number;
}

export interface ServiceCommand {
	readonly description: string;
	/** Reads a configuration: `-c`. */
	readonly config?: true;
	/** Changes the host: `-n`, `-w`. */
	readonly changes?: true;
	/** Its name in the table of privileges, if it cannot do anything without them. */
	readonly privileged?: PrivilegedCommand;
}

/** The frame of a command for services: its description and options; `run` runs in the namespace of `--netns`. */
export function serviceCommand(
	command: Command,
	{ description, config, changes, privileged }: ServiceCommand,
	run: (host: ServiceHost, options: ServiceOptions) => Promise<ExitCode>,
): () => Promise<ExitCode> {
	command.description(description);
	if (changes === true) command.option("-n, --dry-run", "print the plan and change nothing");
	if (config === true) command.option("-c, --config <path>", "the configuration", CONFIG_FILE);
	if (changes === true) {
		command.addOption(
			new Option("-w, --wait <seconds>", "how long to wait for another command that changes this host")
				.argParser((text) => secondsOf("--wait", text, "0"))
				.default(60),
		);
	}
	command.option("--netns <name>", "run in this network namespace (ip netns)");
	command.option("--json", "print JSON");
	return async () => {
		const options = command.opts<ServiceOptions>();
		return await inNamespace(options, async () => {
			if (privileged !== undefined) requirePrivilegesOf(privileged);
			return await run(SYSTEM_HOST, options);
		});
	};
}

/** Work that reads what runs, for commands that could use a configuration instead: without root, the error says so. */
export async function offeringConfiguration<T>(
	command: PrivilegedCommand,
	work: () => Promise<T>,
): Promise<T> {
	try {
		requirePrivilegesOf(command);
		return await work();
	} catch (error) {
		const [first, ...more] = diagnosticsOf(error);
		if (first.code !== "KERNEL_PERMISSION") throw error;
		const hint = "run it as root, or use a configuration, which needs no root: -c PATH";
		throw new L3dsrError([{ ...first, hint }, ...more], { cause: error });
	}
}
