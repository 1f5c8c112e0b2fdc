/** `l3dsr probe`: does that server answer from the VIP? What a director's health check must see. */
import type { Command } from "commander";
import { asL3dsrError, L3dsrError } from "../errors.ts";
import { readFailure, readText } from "../host/files.ts";
import type { ProbeTarget } from "../model/probe-target.ts";
import { type Answer, judgeAnswer } from "../probe/answer.ts";
import { diagnose } from "../probe/diagnose.ts";
import type { Further } from "../probe/explain.ts";
import { PlainProber } from "../probe/plain-prober.ts";
import { type Asker, type ProbeOptions, Prober } from "../probe/prober.ts";
import { reportOf, type TargetReport } from "../probe/report.ts";
import { parseProbeTargets, readProbeTarget } from "../syntax/probe-targets.ts";
import { type CliContext, writeJson } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { interruptible } from "./interrupt.ts";
import { secondsOf, usage, wholeNumber } from "./option-values.ts";
import { NAGIOS, nagiosText, reportText, tableText } from "./probe/probe-text.ts";
import { reportError } from "./report.ts";
import { styleFor } from "./style.ts";

interface Options {
	readonly dscp?: string;
	readonly port?: string;
	readonly vip?: string;
	readonly udp?: boolean;
	readonly icmp?: boolean;
	readonly ecn?: boolean;
	readonly count: number;
	readonly timeout: number;
	readonly file?: string;
	readonly nagios?: boolean;
	readonly json?: boolean;
}

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	command
		.argument("[rip]", "the real server's own address")
		.description(
			"Asks a real server as a director would, by a packet marked with a DSCP, and says who answered and, " +
				"if it was not the VIP, why. TCP needs root (CAP_NET_RAW), for the answer comes from an address that " +
				"was not asked; --udp and --icmp do not. Exit code 1 when a VIP does not answer.",
		)
		.option("--dscp <n>", "the code to mark with (0-63, or a class such as AF41)")
		.option("--port <n>", "the service's port")
		.option("--vip <address>", "who is to answer; without it, any address but the real one")
		.option("--udp", "send a datagram instead of a TCP SYN")
		.option("--icmp", "send an echo request")
		.option("--ecn", "set the ECN bits too")
		.option("--count <n>", "number of probes", (text) => wholeNumber("--count", text, 1, 10_000), 1)
		.option(
			"--timeout <seconds>",
			"how long to wait for an answer",
			(text) => secondsOf("--timeout", text, "more than 0", 60),
			2,
		)
		.option("--file <path>", "ask many: lines of RIP VIP DSCP PORT[/udp]; - for stdin")
		.option("--nagios", "one line and the exit code of a monitoring plugin")
		.option("--json", "print JSON");
	return async () => {
		const options = command.opts<Options>();
		try {
			const targets = targetsOf(command.args, options);
			return await interruptible(context, (signal) => probe(context, targets, options, signal));
		} catch (error) {
			if (options.nagios !== true) throw error;
			const [first = ""] = String(error instanceof Error ? error.message : error).split("\n");
			context.stdout.write(`L3DSR UNKNOWN - ${first}\n`);
			reportError(context, error);
			return NAGIOS.unknown;
		}
	};
}

function targetsOf([real]: readonly string[], options: Options): ProbeTarget[] {
	if (options.file !== undefined) {
		const single = ["dscp", "port", "vip", "udp", "icmp"].find((name) => name in options);
		if (single !== undefined || real !== undefined) {
			throw usage(
				`--file says what to ask: no ${single === undefined ? "address" : `--${single}`} beside it`,
			);
		}
		const targets = parseProbeTargets(readTargets(options.file), options.file);
		if (targets.length > 0) return targets;
		throw new L3dsrError({
			code: "PROBE_TARGET",
			message: `read targets from ${options.file}: there is none`,
			hint: "a line for each: RIP VIP DSCP PORT",
		});
	}
	if (real === undefined)
		throw usage("which real server is to be asked?", "l3dsr probe RIP --dscp N --port P");
	if (options.dscp === undefined) throw usage("--dscp is missing: the code that stands for the VIP");
	if (options.udp === true && options.icmp === true) throw usage("--udp and --icmp exclude each other");
	if ((options.icmp === true) === (options.port !== undefined)) {
		throw usage(
			options.icmp === true ? "an echo request has no --port" : "--port is missing: the service's port",
		);
	}
	const service =
		options.icmp === true ? "icmp" : `${options.port ?? ""}/${options.udp === true ? "udp" : "tcp"}`;
	return [readProbeTarget({ real, vip: options.vip, dscp: options.dscp, service })];
}

async function probe(
	context: CliContext,
	targets: readonly ProbeTarget[],
	options: Options,
	signal: AbortSignal,
): Promise<ExitCode> {
	const { stdout, env } = context;
	const reports = await reportsOf(context, targets, options, signal);
	if (options.nagios === true) {
		const { line, status } = nagiosText(reports);
		stdout.write(line);
		return status;
	}
	const failed = reports.filter(({ ok }) => !ok).length;
	const unasked = targets.length - reports.length;
	if (unasked > 0)
		context.stderr.write(`stopped: ${unasked} of ${targets.length} targets were not answered yet\n`);
	const style = styleFor(stdout, env);
	const [only] = reports;
	if (options.json === true)
		writeJson(stdout, "probe", { probed: reports.length, failed, unanswered: unasked, targets: reports });
	else if (options.file === undefined && only !== undefined) stdout.write(reportText(only, style));
	else stdout.write(tableText(reports, style));
	return failed === 0 ? EXIT.done : EXIT.failed;
}

async function reportsOf(
	context: CliContext,
	targets: readonly ProbeTarget[],
	{ count, timeout, ecn = false, file, nagios, json }: Options,
	signal: AbortSignal,
): Promise<TargetReport[]> {
	using prober = openProber(targets);
	const progress = new Progress(context, json === true || nagios === true ? 0 : targets.length * count);
	const wait: ProbeOptions = { timeoutMs: timeout * 1000, signal };
	const probes = targets.flatMap((target) => Array.from({ length: count }, () => ({ target, ecn })));
	const answers = new Map<number, Answer>();
	try {
		await prober.ask(probes, {
			...wait,
			onAnswer: (index, answer) => {
				answers.set(index, answer);
				const target = probes[index]?.target;
				progress.add(target !== undefined && judgeAnswer(target, answer) === "vip");
			},
		});
	} catch (error) {
		// Stopped half-way, a file is told as far as it went.
		if (!signal.aborted || file === undefined || nagios === true) throw error;
	} finally {
		progress.end();
	}
	const grouped = targets.map((_, at) =>
		Array.from({ length: count }, (_, nth) => answers.get(at * count + nth)).filter(
			(answer) => answer !== undefined,
		),
	);
	const [only] = targets;
	const [given] = grouped;
	// A person who asks about one server wants to know why; a monitoring system asks again in a minute.
	if (file === undefined && nagios !== true && only !== undefined && given !== undefined) {
		return [reportOf(only, given, await askFurther(prober, only, given, ecn, wait))];
	}
	return targets.flatMap((target, index) => {
		const own = grouped[index] ?? [];
		return own.length === count ? [reportOf(target, own)] : [];
	});
}

/** Where all is well, whether it also is with ECN bits, as soon as data flows; else, what could be wrong. */
async function askFurther(
	prober: Asker,
	target: ProbeTarget,
	answers: readonly Answer[],
	ecn: boolean,
	wait: ProbeOptions,
): Promise<Further> {
	if (answers.every((answer) => judgeAnswer(target, answer) === "vip")) {
		if (ecn) return {};
		const [withEcn] = await prober.ask([{ target, ecn: true }], wait);
		return withEcn === undefined ? {} : { ecn: withEcn };
	}
	if (answers.every(({ kind }) => kind === "unsent")) return {};
	return { evidence: await diagnose(prober, target, wait) };
}

/** Without root, UDP and echo are asked by ordinary sockets. */
function openProber(targets: readonly ProbeTarget[]): Asker {
	try {
		return new Prober();
	} catch (error) {
		if (asL3dsrError(error).code !== "KERNEL_PERMISSION") throw error;
		if (targets.every(({ protocol }) => protocol !== "tcp")) return new PlainProber();
		throw new L3dsrError(
			{
				code: "KERNEL_PERMISSION",
				message: "probe: not permitted to open raw sockets (CAP_NET_RAW)",
				hint: "run it as root, or ask with --udp or --icmp: a SYN+ACK from an address that was not asked reaches no ordinary socket",
			},
			{ cause: error },
		);
	}
}

/** `312 of 1000 probed, 2 not as they should be`, over and over on one line of a terminal. */
class Progress {
	readonly #stream: CliContext["stderr"];
	readonly #total: number;
	#done = 0;
	#failed = 0;
	#shownAt = 0;

	constructor({ stderr, env }: CliContext, total: number) {
		this.#stream = stderr;
		this.#total = stderr.isTTY === true && env.TERM !== "dumb" && total > 1 ? total : 0;
	}

	add(good: boolean): void {
		this.#done++;
		if (!good) this.#failed++;
		const now = performance.now();
		if (this.#total === 0 || now - this.#shownAt < 100) return;
		this.#shownAt = now;
		this.#stream.write(
			Buffer.from(`\r${this.#done} of ${this.#total} probed, ${this.#failed} not as they should be`),
		);
	}

	end(): void {
		if (this.#shownAt > 0) this.#stream.write(Buffer.from("\r\u001b[K"));
	}
}

function readTargets(path: string): string {
	try {
		return readText(path);
	} catch (cause) {
		throw readFailure("FILE_READ", "targets from", path, cause);
	}
}
