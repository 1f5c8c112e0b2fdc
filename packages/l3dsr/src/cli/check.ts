/** `l3dsr check`: is the configuration valid, and can this host serve it? Changes nothing. */
import type { Command } from "commander";
import { type CheckFinding, type Severity, titleOf } from "../host/checks/check.ts";
import { checkHost, type HostCheck } from "../inspect/check/check-host.ts";
import type { WantedDirector } from "../sources/director.ts";
import { loadWish } from "../sources/wish.ts";
import { type CliContext, writeJson } from "./context.ts";
import { diagnosticsOf } from "./error-table.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { requirePrivilegesOf } from "./privileges.ts";
import { type ServiceOptions, serviceCommand } from "./services/command.ts";
import type { ServiceHost } from "./services/host.ts";
import { type Style, styleFor } from "./style.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	return serviceCommand(
		command,
		{
			description:
				"Checks the configuration and this host, and prints each fault or risk with its remedy. " +
				"Exit code 1 if the host has a fault, 2 if the configuration has one.",
			config: true,
		},
		(host, options) => check(context, host, options),
	);
}

export async function check(
	context: CliContext,
	host: ServiceHost,
	options: Pick<ServiceOptions, "config" | "json">,
): Promise<ExitCode> {
	const { stdout, env } = context;
	const { configuration, director, source } = await loadWish(host, options.config, env);
	let found: Pick<HostCheck, "findings" | "questions"> = { findings: [], questions: [] };
	let skipped: string | undefined;
	try {
		requirePrivilegesOf("l3dsr check");
		found = await checkHost(host, configuration, director);
	} catch (error) {
		// Checking the file needs no privileges.
		const [{ code, message }] = diagnosticsOf(error);
		if (code !== "KERNEL_PERMISSION") throw error;
		skipped = message;
	}
	const { findings, questions } = found;
	const count = (severity: Severity) => findings.filter((finding) => finding.severity === severity).length;
	const record = {
		configuration: source,
		services: configuration.services.length,
		findings,
		questions,
		...(skipped === undefined ? {} : { skipped: { what: "the checks of this host", why: skipped } }),
	};
	if (options.json === true) writeJson(stdout, "check", record);
	else {
		const style = styleFor(stdout, env);
		const titles = new Set(configuration.services.map(titleOf));
		const told = grouped(findings, titles);
		for (const [index, finding] of told.entries()) {
			stdout.write(findingText(finding, told[index + 1], style));
		}
		for (const { question, how } of questions) stdout.write(`question: ${question} To find out: ${how}\n`);
		const services = `${source}: ${contentsText(record.services, director)}`;
		if (skipped !== undefined) {
			stdout.write(
				`${services}; the file is valid\nskipped: the checks of this host, which need root: ${skipped}\n`,
			);
			return EXIT.done;
		}
		stdout.write(
			findings.length === 0
				? `${services}; no fault found on this host\n`
				: `${services}; ${countText(count("error"), "error")}, ${countText(count("warning"), "warning")}, ${countText(count("note"), "note")}\n`,
		);
	}
	return count("error") > 0 ? EXIT.failed : EXIT.done;
}

/** `3 services`, `a director for 2 VIPs`, `3 services, and a director for 2 VIPs`. */
function contentsText(services: number, director: WantedDirector | undefined): string {
	const own = countText(services, "service");
	if (director === undefined) return own;
	const directing = `a director for ${countText(director.fleet.vips.length, "VIP")}`;
	return services === 0 ? directing : `${own}, and ${directing}`;
}

/** How many services a finding names if more have the same finding. */
const NAMED = 3;

/** A finding, split at the name of its service; if it names none, `before` is the whole text. */
interface Split {
	readonly finding: CheckFinding;
	readonly before: string;
	readonly title: string;
	readonly after: string;
}

/** Merges equal findings about more than NAMED services into one. */
function grouped(findings: readonly CheckFinding[], titles: ReadonlySet<string>): CheckFinding[] {
	const groups = new Map<string, Split[]>();
	for (const finding of findings) {
		const split = splitAtTitle(finding, titles);
		const key = [finding.check, finding.severity, finding.remedy, split.before, split.after].join("\n");
		groups.set(key, [...(groups.get(key) ?? []), split]);
	}
	return [...groups.values()].flatMap((group) => {
		const [first] = group;
		if (first === undefined || group.length <= NAMED || first.title === "") {
			return group.map(({ finding }) => finding);
		}
		const { finding, before, after } = first;
		const named = group.slice(0, NAMED).map(({ title }) => title);
		const list = `${named.join(", ")} and ${group.length - NAMED} more${before === "" ? ":" : ""}`;
		return [{ ...finding, message: before + list + after }];
	});
}

function splitAtTitle(finding: CheckFinding, titles: ReadonlySet<string>): Split {
	const { message } = finding;
	for (const { 0: word, index } of message.matchAll(/\S+(?: \([^ )]+\))?/g)) {
		const title = word.replace(/:$/, "");
		if (!titles.has(title)) continue;
		return { finding, before: message.slice(0, index), title, after: message.slice(index + title.length) };
	}
	return { finding, before: message, title: "", after: "" };
}

/** If the next finding has the same remedy, only that one prints it. */
function findingText(finding: CheckFinding, next: CheckFinding | undefined, style: Style): string {
	const { check: name, severity, message, remedy } = finding;
	const title = `${severity}[${name}]`;
	const line = `${severity === "error" ? style.bad(title) : style.bold(title)}: ${message}\n`;
	return next?.check === name && next.remedy === remedy ? line : `${line}remedy: ${remedy}\n`;
}

function countText(count: number, noun: string): string {
	return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
