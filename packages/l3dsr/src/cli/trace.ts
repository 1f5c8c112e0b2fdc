/** `l3dsr trace`: what would happen to this packet, rule by rule, and does the kernel agree? */
import { type Command, InvalidArgumentError } from "commander";
import { packetRecord } from "../inspect/trace/record.ts";
import {
	configuredSituation,
	liveSituation,
	type PacketMeta,
	type Situation,
} from "../inspect/trace/situation.ts";
import { traceAll } from "../inspect/trace/trace-all.ts";
import { answerAgrees } from "../inspect/trace/traced.ts";
import { SYSTEM_FILES } from "../sources/source-files.ts";
import { type CliContext, writeJson } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { inNamespace } from "./namespace.ts";
import { prefixOption, usage, wholeNumber } from "./option-values.ts";
import { offeringConfiguration } from "./services/command.ts";
import { styleFor } from "./style.ts";
import { type Outcome, traceCapture } from "./trace/capture.ts";
import { readInput, type TraceInput, type TraceOptions } from "./trace/input.ts";
import { requireWritable, rewrittenCapture, textContext, writeCapture } from "./trace/rewritten-capture.ts";
import { packetText } from "./trace/text.ts";

interface Options extends TraceOptions {
	readonly interface?: string;
	readonly mark?: string;
	readonly mac?: string;
	readonly local?: readonly string[];
	readonly config?: string;
	readonly write?: string;
	readonly verbose?: boolean;
	readonly json?: boolean;
	readonly netns?: string;
}

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	command
		.description(
			"Shows what happens to a packet: which rules match and which nearly match, the header before and after, checksums, counters. " +
				"Also asks the kernel, which runs a copy of the interface's program, and a copy of the nft rules in a separate network namespace; the results must agree. " +
				"Sends nothing and changes no counter. Exit code 1 if the kernel disagrees.",
		)
		.argument("[capture]", "a pcap or pcapng file; - is stdin")
		.option("--from <address>", "source address")
		.option("--to <address>", "destination address, the real server's own")
		.option("--dscp <code>", "0-63 or a class such as AF41 (default 0)")
		.option("--ecn <bits>", "0-3 (default 0)")
		.option("--ttl <number>", "TTL or hop limit (default 64)")
		.option("--tcp <port[,source]>", "a TCP SYN to this port (default: to port 80)")
		.option("--udp <port[,source]>", "a UDP datagram to this port")
		.option("--icmp", "an echo request")
		.option("--hex <bytes>", "the packet in hex, from its IP or Ethernet header on")
		.option("-i, --interface <name>", "where it arrives")
		.option("--mark <number>", "its packet mark")
		.option("--mac <address>", "its sender's Ethernet address")
		.option("--local <address>", "treat this address or prefix as this host's own; repeatable", collect)
		.option("-c, --config <path>", "use this configuration instead of what runs here; needs no root")
		.option(
			"-w, --write <file>",
			"write the resulting packets as pcap; - is stdout, and the text then goes to stderr",
		)
		.option("-v, --verbose", "print every packet of a capture in full")
		.option("--netns <name>", "run in this network namespace (ip netns)")
		.option("--json", "print JSON; for a capture, one line for each packet and one for the whole");
	return async () => {
		const options = command.opts<Options>();
		const [file] = command.args;
		return await inNamespace(options, () => run(context, file, options));
	};
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
	if (value === "") throw new InvalidArgumentError("it is empty");
	return [...(before ?? []), value];
}

async function run(context: CliContext, file: string | undefined, options: Options): Promise<ExitCode> {
	const { write } = options;
	const input = readInput(file, options);
	if (write !== undefined) requireWritable(context, write, file);
	const meta = metaOf(options);
	const { interface: on, to, local = [] } = options;
	const place = {
		...(on === undefined ? {} : { interface: on }),
		...(to === undefined ? {} : { to }),
		local: local.map((text) => prefixOption("--local", text)),
	};
	using situation =
		options.config === undefined
			? await offeringConfiguration("l3dsr trace", () => liveSituation(place, meta))
			: await configuredSituation(context.env, SYSTEM_FILES, options.config, place);
	const out = textContext(context, write);
	const { agreed, results } =
		input.kind === "packet"
			? await tracePacket(out, input, situation, meta, options)
			: await traceCapture(out, input, situation, meta, options);
	if (write !== undefined) writeCapture(context, write, rewrittenCapture(results));
	return agreed ? EXIT.done : EXIT.failed;
}

async function tracePacket(
	context: CliContext,
	input: TraceInput,
	situation: Situation,
	meta: PacketMeta,
	options: Options,
): Promise<Outcome> {
	const { results } = await traceAll(input.packets, situation, meta);
	const [traced] = results;
	if (traced === undefined || "notIp" in traced) throw usage("these bytes are not an IP packet");
	const record = packetRecord(traced, 1);
	const { stdout, env } = context;
	if (options.json === true)
		writeJson(stdout, "trace", { source: situation.source, notes: situation.notes, ...record });
	else {
		const style = styleFor(stdout, env);
		for (const note of situation.notes) stdout.write(`${style.bad("note:")} ${note}\n`);
		stdout.write(packetText(record, style, situation.source, situation.interfaceBecause));
	}
	return { agreed: record.kernel.every(answerAgrees), results };
}

function metaOf({ mark, mac }: Options): PacketMeta {
	const value = mark === undefined ? 0 : wholeNumber("--mark", mark, 0, 0xffffffff);
	if (mac === undefined) return { mark: value };
	if (!/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/.test(mac))
		throw usage(`--mac: "${mac}" is not an Ethernet address`);
	return { mark: value, sourceMac: mac.split(":").map((part) => Number.parseInt(part, 16)) };
}
