/** `l3dsr lab`: builds a lab, prints its story, and fails if a claim cannot be proved. */
import { type Command, Option } from "commander";
import { L3dsrError } from "../errors.ts";
import type { Claim } from "../lab/claims.ts";
import { BALANCERS, type Balancer } from "../lab/director.ts";
import { type Lab, openLab, takeDown } from "../lab/lab.ts";
import { HOSTS, VIPS } from "../lab/layout.ts";
import { addCommands, type LabDatapath } from "../lab/rules.ts";
import { runStory } from "../lab/story.ts";
import { HOOK_NAMES } from "../rewrite/ebpf/kernel/attachment.ts";
import { type CliContext, writeJson } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { interruptible } from "./interrupt.ts";
import { chapterText, openingText, verdictText } from "./lab-text.ts";
import { requirePrivilegesOf } from "./privileges.ts";
import { commandBeside } from "./programs.ts";
import { styleFor } from "./style.ts";

interface Options {
	readonly keep?: boolean;
	readonly down?: string;
	readonly rules: boolean;
	readonly datapath: LabDatapath["datapath"];
	readonly hook?: NonNullable<LabDatapath["hook"]>;
	readonly director: Balancer;
	readonly json?: boolean;
}

const WORKER = "lab-worker";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	command
		.description(
			"Builds a client, a router, two directors and two real servers in network namespaces, sends real traffic " +
				"through them, shows what every hop saw, and proves that Layer-3 DSR works. Leaves nothing behind.",
		)
		.option("--keep", "leave the lab running, and print how to enter it and how to remove it")
		.option("--down <name>", "take down a lab that was kept")
		.option("--without-rules", "add no rules, to see which claims then fail")
		.addOption(
			new Option("--datapath <name>", "what rewrites on the real servers")
				.choices(["auto", "nft", "ebpf"])
				.default("auto"),
		)
		.addOption(
			new Option("--hook <name>", "where, for ebpf").choices(HOOK_NAMES).implies({ datapath: "ebpf" }),
		)
		.addOption(
			new Option("--director <name>", "the director: l3dsr itself, or an nftables ruleset")
				.choices(BALANCERS)
				.default("balance"),
		)
		.option("--json", "print the whole record as JSON");
	return async () => {
		const options = command.opts<Options & { withoutRules?: boolean }>();
		if (options.hook !== undefined && options.datapath !== "ebpf") throw hookWithoutEbpf(options);
		requirePrivilegesOf("l3dsr lab");
		if (options.down !== undefined) return await down(context, options.down, options.json === true);
		return await interruptible(context, async (signal) => {
			try {
				return await tellStory(context, { ...options, rules: options.withoutRules !== true }, signal);
			} catch (error) {
				// By now everything is cleaned up. A failure in an interrupted lab is due to the interruption.
				if (signal.aborted) return EXIT.failed;
				throw error;
			}
		});
	};
}

async function tellStory(context: CliContext, options: Options, signal: AbortSignal): Promise<ExitCode> {
	const { stdout, env } = context;
	const started = performance.now();
	const style = styleFor(stdout, env);
	const print = (text: string) => {
		if (options.json !== true) stdout.write(text);
	};
	const choice: LabDatapath = {
		datapath: options.datapath,
		...(options.hook === undefined ? {} : { hook: options.hook }),
	};
	const rules = options.rules ? addCommands(choice) : [];
	await using lab = await openLab({
		...choice,
		balancer: options.director,
		name: `l3lab-${process.pid}`,
		commands: {
			worker: [...commandBeside(context, "l3dsr"), WORKER],
			command: (name) => commandBeside(context, name),
		},
		environment: env,
		signal,
	});
	// Ends the workers, and with them everything that waits for one.
	signal.addEventListener("abort", () => void lab[Symbol.asyncDispose]());

	print(openingText(style, lab.topology.name, rules));
	const { evidence, claims } = await runStory(lab, {
		rules: options.rules,
		signal,
		tell: (chapter) => print(chapterText(style, chapter)),
	});
	signal.throwIfAborted();
	if (options.keep === true) await lab.leave();
	const record = {
		lab: lab.topology.name,
		kept: options.keep === true,
		...choice,
		director: options.director,
		namespaces: lab.topology.namespaces,
		vips: VIPS.map(({ vip, dscp }) => ({ vip: vip.text, dscp })),
		rules: rules.map(({ program, args }) => [program, ...args].join(" ")),
		...evidence,
		claims,
		proved: claims.every(({ held }) => held),
	};
	if (options.json === true) writeJson(stdout, "lab", record);
	print(verdictText(style, claims, (performance.now() - started) / 1000));
	if (options.keep === true) print(keptText(context, lab));
	if (!record.proved) throw claimsFailed(lab.topology.name, claims);
	return EXIT.done;
}

function hookWithoutEbpf({ hook, datapath }: Options): L3dsrError {
	return new L3dsrError({
		code: "USAGE",
		message: `lab --datapath ${datapath} --hook ${hook}: --hook is for datapath ebpf only`,
		hint: "leave out one of the two",
	});
}

function claimsFailed(lab: string, claims: readonly Claim[]): L3dsrError {
	const failed = claims.filter(({ held }) => !held);
	const [first, ...rest] = failed.map(({ claim, evidence }) => ({
		code: "LAB_CLAIM" as const,
		message: `prove in lab ${lab} that ${claim}: ${evidence}`,
	}));
	if (first === undefined) throw new RangeError("every claim held");
	return new L3dsrError([first, ...rest]);
}

function keptText(context: CliContext, { topology }: Lab): string {
	const entries = HOSTS.map((host) => `  ip netns exec ${topology.namespaces[host]} bash\n`).join("");
	const [vip] = VIPS;
	return [
		`\nThe lab is still running. Enter one of its hosts (as root):\n${entries}`,
		`Ask a VIP:\n  ip netns exec ${topology.namespaces.client} curl http://${vip?.vip.text}/\n`,
		`Take it down:\n  ${context.programName} lab --down ${topology.name}\n`,
	].join("");
}

async function down(context: CliContext, name: string, json: boolean): Promise<ExitCode> {
	const others = takeDown(name, (commandLine) => commandLine.includes(WORKER));
	if (json) {
		writeJson(context.stdout, "lab-down", { lab: name, processesLeft: others });
	} else {
		context.stdout.write(`lab ${name} is taken down\n`);
		if (others.length > 0) {
			context.stdout.write(`these processes that were started in it still run: ${others.join(" ")}\n`);
		}
	}
	return EXIT.done;
}
