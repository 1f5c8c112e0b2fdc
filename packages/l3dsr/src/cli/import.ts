/** `l3dsr import`: reads services, or rules, from what a host had before: iptables-save files, dsr.conf folders. */
import { type Command, Option } from "commander";
import { L3dsrError, type Position, renderDiagnostic } from "../errors.ts";
import { readFailure } from "../host/files.ts";
import { rulesOf } from "../inspect/vip-table.ts";
import { DEFAULT_CONFIGURATION } from "../model/configuration.ts";
import type { Rule } from "../model/rule.ts";
import { readDsrConf } from "../sources/dsr-conf.ts";
import type { PlacedService } from "../syntax/config/parse-config.ts";
import { raiseRules, tableOf } from "../syntax/config/raise-rules.ts";
import { conflictDiagnostics } from "../syntax/config/service-conflicts.ts";
import { parseServices } from "../syntax/iptables/names.ts";
import { looksLikeSavedRules, readSavedRules } from "../syntax/iptables/saved-rules.ts";
import { type CliContext, writeJson } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { FORMAT_NAMES } from "./export/formats.ts";
import { formatFor, type PrintOptions } from "./export/print.ts";
import { collectAddress } from "./export.ts";
import { usage } from "./option-values.ts";
import { type ServiceHost, SYSTEM_HOST } from "./services/host.ts";

interface Options extends PrintOptions {
	readonly to: string;
}

/** What was read from all the files. */
interface Imported {
	readonly services: PlacedService[];
	readonly rules: Rule[];
	readonly left: Left[];
	readonly notes: Note[];
}

interface Left {
	readonly place: string;
	readonly what: string;
	readonly why: string;
	/** A rule that describes no service: only a format of rules takes it. */
	readonly isRule?: true;
}

interface Note {
	readonly text: string;
	/** Applies to services, not to rules. */
	readonly ofServices?: true;
}

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	command
		.description(
			"Reads iptables-save and ip6tables-save files and dsr.conf files or folders, and prints their VIPs as l3dsr.yaml " +
				"or any format of export. Changes nothing. Names on stderr what it left out, with the reason.",
		)
		.argument("<files...>", "files and folders; - is stdin")
		.addOption(new Option("--to <format>", "what to print").choices(FORMAT_NAMES).default("yaml"))
		.option("--real <address>", "a real server, for a director's formats; repeatable", collectAddress)
		.option("--json", "print the text, and what was left, as JSON");
	return async () => importFiles(context, SYSTEM_HOST, command.args, command.opts<Options>());
}

export async function importFiles(
	context: CliContext,
	host: ServiceHost,
	files: readonly string[],
	options: Options,
): Promise<ExitCode> {
	const { format, reals } = formatFor(options.to, options);
	const imported: Imported = { services: [], rules: [], left: [], notes: [] };
	for (const file of files) await importFile(context, host, file, imported);
	const services = imported.services.map(({ service }) => service);
	const configuration = { ...DEFAULT_CONFIGURATION, table: tableOf(imported.rules), services };
	const printed = format.print({ configuration, rules: imported.rules, reals });
	const asRules = format.of === "rules";
	const left = [
		...imported.left.filter(({ isRule }) => !(asRules && isRule === true)),
		...printed.left.map(({ what, why }) => ({ place: options.to, what, why })),
	].map(({ place, what, why }) => ({ place, what, why }));
	const notes = imported.notes
		.filter(({ ofServices }) => !(asRules && ofServices === true))
		.map(({ text }) => text);
	// Rules that overlap are applied one after the other, as before.
	const conflicts = asRules ? [] : conflictDiagnostics(imported.services);
	const noun = asRules ? "rule" : "service";
	const found = asRules ? imported.rules.length : services.length;
	const taken = found - printed.left.filter(({ isRule }) => isRule === true).length;
	const { stdout, stderr } = context;
	if (options.json === true) {
		writeJson(stdout, "import", {
			format: options.to,
			text: printed.text,
			left,
			notes,
			conflicts,
		});
	} else {
		// An empty table, saved as the configuration, would take every service down.
		if (found > 0) stdout.write(printed.text);
		for (const { place, what, why } of left) stderr.write(`left: ${place}: ${shortened(what)}: ${why}\n`);
		for (const note of notes) stderr.write(`note: ${note}\n`);
		for (const conflict of conflicts) stderr.write(`${renderDiagnostic(conflict)}\n`);
		stderr.write(`${counted(taken, noun)} taken, ${counted(left.length, "line")} left\n`);
		if (options.to === "yaml" && services.length > 0) {
			stderr.write("next: save it as /etc/l3dsr/l3dsr.yaml, then l3dsr check, l3dsr diff, l3dsr up\n");
		}
	}
	if (found === 0) {
		throw new L3dsrError({
			code: "FILE_READ",
			message: `import ${files.join(", ")}: no ${noun} was found`,
			hint: "import reads files of iptables-save that have DADDR rules, and dsr.conf files with lines VIP=DSCP",
		});
	}
	return conflicts.length === 0 ? EXIT.done : EXIT.usage;
}

async function importFile(
	context: CliContext,
	host: ServiceHost,
	file: string,
	imported: Imported,
): Promise<void> {
	const folder = file !== "-" && host.listFolder(file) !== undefined;
	const text = folder ? "" : read(host, file);
	if (!folder && looksLikeSavedRules(text)) {
		importRules(host, file === "-" ? "stdin" : file, text, imported);
		return;
	}
	if (file === "-")
		throw usage(
			"standard input does not contain a table of iptables-save",
			"name a dsr.conf file to import it",
		);
	const { services, diagnostics } = await readDsrConf(host, file, context.env);
	const configuration = { ...DEFAULT_CONFIGURATION, services: services.map(({ service }) => service) };
	for (const service of services) imported.services.push(service);
	for (const rule of rulesOf(configuration)) imported.rules.push(rule);
	for (const { message, position } of diagnostics) {
		imported.left.push({
			place: placeText(position, file),
			what: position?.text.trim() ?? file,
			why: message,
		});
	}
}

function importRules(host: ServiceHost, source: string, text: string, imported: Imported): void {
	const { rules, left, mended } = readSavedRules(text, source, parseServices(readServices(host)));
	const raised = raiseRules(rules.map(({ rule }) => rule));
	for (const { rule } of rules) imported.rules.push(rule);
	for (const { service, first } of raised.services) {
		const place = rules[first]?.place;
		if (place !== undefined) imported.services.push({ service, place });
	}
	const raisedLeft = raised.left.flatMap(({ rule, why }) => {
		const place = rules[rule]?.place;
		return place === undefined ? [] : [{ place, why, isRule: true as const }];
	});
	for (const { place, ...rest } of [...left, ...raisedLeft].sort((a, b) => a.place.line - b.place.line)) {
		imported.left.push({ place: placeText(place, source), what: place.text, ...rest });
	}
	if (mended > 0) {
		imported.notes.push({
			text: `${source}: ${mended} DADDR--set-daddr without the blank, as old versions saved it: corrected`,
		});
	}
	if (raised.narrowed.length > 0) {
		imported.notes.push({
			text: `${source}: ${counted(raised.narrowed.length, "rule")} would rewrite forwarded packets too; services take only what is for this host's own addresses`,
			ofServices: true,
		});
	}
}

function counted(count: number, noun: string): string {
	return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** A line, shortened to fit on a page. */
function shortened(line: string): string {
	return line.length <= 300 ? line : `${line.slice(0, 300)}…`;
}

function placeText(place: Position | undefined, source: string): string {
	return place === undefined ? source : `${place.source}:${place.line}`;
}

function readServices(host: ServiceHost): string {
	try {
		return host.readFile("/etc/services");
	} catch {
		return ""; // port names are then unknown, and the output says so
	}
}

function read(host: ServiceHost, file: string): string {
	let text: string;
	try {
		text = host.readFile(file);
	} catch (cause) {
		throw readFailure("FILE_READ", "", file, cause);
	}
	if (!text.includes("\0")) return text;
	throw new L3dsrError({ code: "FILE_READ", message: `read ${file}: it is not text` });
}
