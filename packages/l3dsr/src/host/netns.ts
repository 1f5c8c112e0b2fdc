/** Named network namespaces, as ip-netns(8) keeps them under /run/netns. */
import { readdirSync } from "node:fs";
import { L3dsrError } from "../errors.ts";
import { type Environment, findProgram, type ProgramRunner, systemPrograms } from "./process.ts";

const NAMESPACES = "/run/netns";

/** Names of all there are, sorted. */
export function listNamespaces(): string[] {
	try {
		return readdirSync(NAMESPACES).sort();
	} catch {
		return []; // the folder comes with the first namespace
	}
}

/** The file that stands for a namespace. */
export function namespacePath(name: string): string {
	return `${NAMESPACES}/${name}`;
}

/** Creates them in order. Throws PROGRAM_FAILED at the first that cannot be made; those before it stand. */
export async function createNamespaces(programs: ProgramRunner, names: readonly string[]): Promise<void> {
	await batch(programs, "create", names, "netns add", []);
}

/**
 * Deletes them, and with them their interfaces, rules and addresses, as soon as the last process in them
 * ends. Goes on behind one that cannot be deleted, and throws PROGRAM_FAILED in the end.
 */
export async function deleteNamespaces(programs: ProgramRunner, names: readonly string[]): Promise<void> {
	await batch(programs, "delete", names, "netns delete", ["-force"]);
}

/** Ids of the processes that run in a namespace. */
export async function namespaceProcesses(programs: ProgramRunner, name: string): Promise<number[]> {
	const { stdout } = await programs.run("ip", ["netns", "pids", name]);
	return stdout.split("\n").filter(Boolean).map(Number);
}

/** The command line that runs `command` inside a namespace. */
export function commandInNamespace(name: string, command: readonly string[]): string[] {
	return ["ip", "netns", "exec", name, ...command];
}

/** Runs programs inside the namespace at `path`, which may have no name. */
export function programsInNamespace(env: Environment, path: string): ProgramRunner {
	const programs = systemPrograms(env);
	return {
		run: (program, args, options) =>
			programs.run("nsenter", [`--net=${path}`, findProgram(program, env.PATH) ?? program, ...args], options),
	};
}

async function batch(
	programs: ProgramRunner,
	verb: string,
	names: readonly string[],
	command: string,
	flags: readonly string[],
): Promise<void> {
	if (names.length === 0) return;
	const { exitCode, stderr } = await programs.run("ip", [...flags, "-batch", "-"], {
		input: names.map((name) => `${command} ${name}\n`).join(""),
	});
	if (exitCode === 0) return;
	const name = names[Number(/^Command failed -:(\d+)/m.exec(stderr)?.[1] ?? 1) - 1] ?? names.join(", ");
	const permission = /Operation not permitted|Permission denied/.test(stderr);
	throw new L3dsrError({
		code: permission ? "KERNEL_PERMISSION" : "PROGRAM_FAILED",
		message: `${verb} network namespace ${name}: ip: ${stderr.trim().split("\n")[0] ?? ""}`,
		...(permission ? { hint: "run this as root" } : {}),
	});
}
