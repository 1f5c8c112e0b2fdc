/** `l3dsr probe`: does that server answer from the VIP, as a director's health check expects? */
import type { Command } from "commander";
import { L3dsrError } from "../errors.ts";
import { readFailure, readText } from "../host/files.ts";
import type { ProbeTarget } from "../model/probe-target.ts";
import { askFurther } from "../probe/ask-further.ts";
import { type Asked, askTargets } from "../probe/ask-targets.ts";
import { openProber } from "../probe/open-prober.ts";
import { reportOf, type TargetReport } from "../probe/report.ts";
import { parseProbeTargets, readProbeTarget } from "../syntax/probe-targets.ts";
import { type CliContext, writeJson } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { interruptible } from "./interrupt.ts";
import { bytesOption, secondsOf, usage, wholeNumber } from "./option-values.ts";
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
	readonly connect?: boolean;
	readonly send?: string;
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
			"Probes a real server as a director would, with a packet marked with a DSCP, and reports who answered and, " +
				"if it was not the VIP, why. TCP needs root (CAP_NET_RAW), because the answer comes from another address than " +
				"the probed one; --udp and --icmp do not. Exit code 1 if a VIP does not answer.",
		)
		.option("--dscp <n>", "the code to mark packets with (0-63, or a class such as AF41)")
		.option("--port <n>", "the service's port")
		.option("--vip <address>", "expected responder; default: any address but the server's own")
		.option("--udp", "send a datagram instead of a TCP SYN")
		.option("--icmp", "send an echo request")
		.option("--ecn", "set the ECN bits too")
		.option("--connect", "complete the TCP handshake, and test whether the server accepts what follows")
		.option(
			"--send <text>",
			"data to send after the handshake (\\r, \\n, \\xHH), then wait for an answer; with --udp: the datagram",
		)
		.option("--count <n>", "number of probes", (text) => wholeNumber("--count", text, 1, 10_000), 1)
		.option(
			"--timeout <seconds>",
			"how long to wait for an answer",
			(text) => secondsOf("--timeout", text, "more than 0", 60),
			2,
		)
		.option("--file <path>", "many targets: lines of RIP VIP DSCP PORT[/udp]; - for stdin")
		.option("--nagios", "one line and the exit code of a monitoring plugin")
		.option("--json", "print JSON");
	return async () => {
		const options = command.opts<Options>();
		try {
			const targets = targetsOf(command.args, options);
			checkConnecting(targets, options);
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
				`--file names the targets: no ${single === undefined ? "address" : `--${single}`} beside it`,
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
		throw usage("the address of the real server is missing", "write l3dsr probe RIP --dscp N --port P");
	if (options.dscp === undefined)
		throw usage(
			"--dscp is missing: the code that stands for the VIP",
			"l3dsr status on the real server shows it (column selects)",
		);
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

function checkConnecting(targets: readonly ProbeTarget[], { connect, send }: Options): void {
	const [echo, tcp] = [
		targets.some(({ protocol }) => protocol === "icmp"),
		targets.some(({ protocol }) => protocol === "tcp"),
	];
	if (echo && (connect === true || send !== undefined)) {
		throw usage(`an echo request has no ${connect === true ? "--connect" : "--send"}`);
	}
	if (tcp && send !== undefined && connect !== true)
		throw usage("--send needs --connect: data follows a handshake");
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
	options: Options,
	signal: AbortSignal,
): Promise<TargetReport[]> {
	const { count, timeout, ecn = false, connect = false, send, file, nagios, json } = options;
	using prober = openProber(targets);
	const progress = new Progress(context, json === true || nagios === true ? 0 : targets.length * count);
	const timeoutMs = timeout * 1000;
	let asked: readonly Asked[];
	try {
		asked = await askTargets(prober, targets, {
			timeoutMs,
			count,
			ecn,
			connect,
			...(send === undefined ? {} : { data: bytesOption("--send", send) }),
			signal,
			onAnswer: (good) => progress.add(good),
		});
	} finally {
		progress.end();
	}
	// If stopped half-way, print the results so far.
	if (file === undefined || nagios === true) signal.throwIfAborted();
	const [only] = asked;
	// A person who probes one server wants to know why; a monitoring system probes again in a minute.
	if (file === undefined && nagios !== true && only !== undefined) {
		const further = await askFurther(prober, only, ecn, { timeoutMs, signal });
		return [reportOf(only.target, only.answers, further, only.broken)];
	}
	return asked.flatMap(({ target, answers, connected, broken }) =>
		answers.length < count
			? []
			: [reportOf(target, answers, connected === undefined ? {} : { connected }, broken)],
	);
}

/** Shows `312 of 1000 probed, 2 not as they should be` on one line of a terminal, and updates it. */
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
		this.#stream.write(Buffer.from(`\r${this.#done} of ${this.#total} probed, ${this.#failed} failed`));
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
