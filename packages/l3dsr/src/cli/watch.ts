/** `l3dsr watch`: one line for each packet that is rewritten or forwarded, while it happens. */

import { setTimeout as delay } from "node:timers/promises";
import { listInterfaces } from "@l3dsr/linux";
import type { Command } from "commander";
import type { Sighting } from "../inspect/watch/sighting.ts";
import { Watch, type WatchFilter } from "../inspect/watch/watch.ts";
import { isInterfaceName } from "../model/interface-name.ts";
import { type CliContext, writeJson } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { interruptible } from "./interrupt.ts";
import { inNamespace } from "./namespace.ts";
import { addressOption, dscpOption, prefixOption, usage, wholeNumber } from "./option-values.ts";
import { requirePrivilegesOf } from "./privileges.ts";
import { type Style, styleFor } from "./style.ts";
import { forwardingRecord, rewritingRecord, sightingText } from "./watch-text.ts";

/** How often the kernel's events are read: the maximum age of a line. */
const LOOK_MS = 25;
/** How often changed rules are picked up, and omitted packets are reported. */
const REFRESH_MS = 1000;

interface Options {
	readonly vip?: string;
	readonly dscp?: string;
	readonly client?: string;
	readonly interface?: string;
	readonly flows?: boolean;
	readonly count?: number;
	readonly rate: number;
	readonly json?: boolean;
	readonly netns?: string;
}

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	command
		.description(
			"Prints a line for each packet that a rule rewrites or a director forwards, as it happens, until it is stopped. " +
				"It watches the running rules, on both datapaths, and the running director; they stay as they are, and nothing " +
				"is left when this ends.",
		)
		.option("--vip <address>", "only packets of this VIP")
		.option(
			"--dscp <code>",
			"only packets with this DSCP (0-63, or a class such as AF41): as a rule meets it, as a director sets it",
		)
		.option("--client <address[/length]>", "only packets from here")
		.option("-i, --interface <name>", "only packets that arrive there")
		.option("--flows", "only the first packet of each flow")
		.option("-n, --count <number>", "end after this many lines", (text) =>
			wholeNumber("--count", text, 1, Number.MAX_SAFE_INTEGER),
		)
		.option(
			"--rate <packets>",
			"print at most this many per second, and count the others",
			(text) => wholeNumber("--rate", text, 1, 1_000_000),
			1000,
		)
		.option("--netns <name>", "run in this network namespace (ip netns)")
		.option("--json", "print JSON, one record per line");
	return async () => {
		const options = command.opts<Options>();
		const filter = filterOf(options);
		await inNamespace(options, async () => {
			requirePrivilegesOf("l3dsr watch");
			await interruptible(context, (signal) => watch(context, options, filter, signal));
		});
		return EXIT.done;
	};
}

function filterOf({ vip, dscp: code, client, interface: name }: Options): WatchFilter {
	const address = vip === undefined ? undefined : addressOption("--vip", vip);
	const source = client === undefined ? undefined : prefixOption("--client", client);
	const selected = code === undefined ? undefined : dscpOption(code);
	if (name !== undefined && !isInterfaceName(name))
		throw usage(`--interface: ${JSON.stringify(name)} is not the name of an interface`);
	return {
		...(address === undefined ? {} : { vip: address }),
		...(selected === undefined ? {} : { dscp: selected }),
		...(source === undefined ? {} : { client: source }),
		...(name === undefined ? {} : { interface: name }),
	};
}

async function watch(
	context: CliContext,
	options: Options,
	filter: WatchFilter,
	signal: AbortSignal,
): Promise<void> {
	using watching = await Watch.open({ filter, flows: options.flows === true, rate: options.rate });
	const teller = new Teller(context, watching, options);
	teller.begin();
	let refreshedAt = performance.now();
	while (!signal.aborted && !teller.done) {
		watching.read(teller.tell);
		if (watching.stale || performance.now() - refreshedAt >= REFRESH_MS) {
			await watching.refresh(teller.tell);
			teller.tellLeftOut();
			refreshedAt = performance.now();
		}
		if (!teller.done) await delay(LOOK_MS, undefined, { signal }).catch(() => {});
	}
	if (!teller.done) watching.read(teller.tell);
	teller.tellLeftOut();
}

/** What is printed: sightings and counts as data, what cannot be watched on stderr. */
class Teller {
	readonly #context: CliContext;
	readonly #watching: Watch;
	readonly #options: Options;
	readonly #style: Style;
	#lines = 0;
	#leftOut = 0n;
	readonly #noted = new Set<string>();

	constructor(context: CliContext, watching: Watch, options: Options) {
		this.#context = context;
		this.#watching = watching;
		this.#options = options;
		this.#style = styleFor(context.stdout, context.env);
	}

	get done(): boolean {
		return this.#lines >= (this.#options.count ?? Number.POSITIVE_INFINITY);
	}

	/** Says that watching has begun, because the first packet may take long. */
	begin(): void {
		this.#note();
		const { stderr } = this.#context;
		const asked = this.#options.interface;
		if (asked !== undefined && !listInterfaces().some(({ name }) => name === asked)) {
			stderr.write(`note: there is no interface ${asked} yet\n`);
		}
		if (stderr.isTTY === true) stderr.write(this.#style.dim("watching; Ctrl-C ends it\n"));
	}

	readonly tell = (sighting: Sighting): void => {
		if (this.done) return;
		this.#lines++;
		const { stdout } = this.#context;
		if (this.#options.json !== true) stdout.write(sightingText(sighting, this.#style));
		else if (sighting.by === "rule") writeJson(stdout, "watch", rewritingRecord(sighting), { lines: true });
		else writeJson(stdout, "watch-forwarded", forwardingRecord(sighting), { lines: true });
	};

	tellLeftOut(): void {
		this.#note();
		const { leftOut } = this.#watching;
		const more = leftOut - this.#leftOut;
		if (more <= 0n) return;
		this.#leftOut = leftOut;
		const { stdout } = this.#context;
		if (this.#options.json === true) writeJson(stdout, "watch-left-out", { leftOut: more }, { lines: true });
		else stdout.write(this.#style.dim(`... ${more} more left out (--rate ${this.#options.rate})\n`));
	}

	#note(): void {
		for (const note of this.#watching.notes) {
			if (!this.#noted.has(note)) this.#context.stderr.write(`note: ${note}\n`);
			this.#noted.add(note);
		}
	}
}
