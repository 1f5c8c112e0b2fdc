/** drain, enable and disable: take real servers out of use on this director, and back. */
import type { Command } from "commander";
import { L3dsrError } from "../../errors.ts";
import { observeKeeping } from "../../host/hold.ts";
import { describeStep, stepRecord } from "../../inspect/describe-step.ts";
import { explaining } from "../../inspect/failure-text.ts";
import type { RealState } from "../../model/fleet.ts";
import {
	emptiedPools,
	type HeldReal,
	type HoldOutcome,
	holdOutcome,
	holdReals,
	realText,
} from "../../model/held-real.ts";
import type { Step } from "../../plan/host-state.ts";
import { heldTarget, planHold } from "../../reconcile/hold-reals.ts";
import { loadConfiguration } from "../../sources/configuration.ts";
import { directorWith } from "../../sources/director.ts";
import { keepingHeldReals, readHeldReals } from "../../sources/held-reals.ts";
import { resolveSettings } from "../../sources/settings.ts";
import { realsNamed } from "../../syntax/held-reals.ts";
import { type CliContext, writeJson } from "../context.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { interruptible } from "../interrupt.ts";
import { sayWaiting } from "../lock-wait.ts";
import { reportError } from "../report.ts";
import { type ServiceOptions, serviceCommand } from "./command.ts";
import type { ServiceHost } from "./host.ts";

/** The command for one state; `realsMeant` reads its arguments. */
export function defineHold(
	command: Command,
	context: CliContext,
	state: RealState,
	description: string,
): () => Promise<ExitCode> {
	command.argument("<real...>", "POOL/NAME, a name (in every pool that has it), or an address");
	return serviceCommand(command, { description, config: true, changes: true }, (host, options) =>
		hold(context, host, options, state, command.args),
	);
}

async function hold(
	context: CliContext,
	host: ServiceHost,
	options: ServiceOptions,
	state: RealState,
	words: readonly string[],
): Promise<ExitCode> {
	const { env, stdout } = context;
	const { configuration, given, fleet: loaded } = await loadConfiguration(host, options.config, env);
	const { director } = configuration;
	if (director === undefined || loaded === undefined) throw noDirector(options.config);
	const settings = resolveSettings(given, env, { hook: "tc" });
	const datapath = await host.openDatapath(settings);
	using _lock =
		options.dryRun === true ? undefined : await host.lock(options.wait * 1000, sayWaiting(context));
	const before = readHeldReals(host, director.state);
	const reals = realsNamed(words, loaded.fleet, before);
	const after = holdReals(before, reals, state, new Date());
	const target = (held: readonly HeldReal[]) =>
		heldTarget({ ...directorWith(director.settings, loaded.fleet, held), rulesAt: settings.hook });
	const change = await planHold(
		host,
		datapath,
		{ before: target(before), after: target(after) },
		options.config,
	);
	const print = (step: Step): void => {
		if (options.json === true) return;
		for (const line of describeStep(step)) stdout.write(`${line}\n`);
	};
	if (options.dryRun === true) change.steps.forEach(print);
	else {
		await interruptible(context, async (signal) => {
			try {
				await keepingHeldReals(director.state, { before, after }, () => explaining(() => change.make(print)));
			} catch (error) {
				if (signal.aborted) reportError(context, error);
				throw error;
			}
		});
	}
	const outcomes = reals.map((real) => holdOutcome(real, loaded.fleet, { before, after }));
	if (options.json === true) {
		writeJson(stdout, "plan", {
			configuration: options.config,
			dryRun: options.dryRun === true,
			stopped: [],
			steps: change.steps.map(stepRecord),
			keeping: observeKeeping(),
		});
	} else {
		for (const one of outcomes) stdout.write(`${outcomeText(one, state, change.runs)}\n`);
		for (const pool of emptiedPools(loaded.fleet, { before, after }))
			context.stderr.write(
				`warning: no real server of pool ${pool} is left for new flows on this host: new connections fail\n`,
			);
	}
	return outcomes.some(({ kind }) => kind === "fleet") ? EXIT.failed : EXIT.done;
}

function noDirector(path: string): L3dsrError {
	return new L3dsrError({
		code: "CONFIG_MISSING",
		message: `${path} does not make this host a director`,
		hint: "on a real server: run the command on its directors, or set state: in the fleet's table",
	});
}

const DONE: Readonly<Record<RealState, string>> = {
	enabled: "is enabled",
	drain: "is drained",
	disabled: "is disabled",
};

function outcomeText({ kind, real, since, state }: HoldOutcome, wanted: RealState, runs: boolean): string {
	const who = realText(real);
	const later = runs ? "" : "; the director does not run, l3dsr up will apply it";
	switch (kind) {
		case "as-before":
			return since === undefined
				? `${who} is enabled already`
				: `${who} ${DONE[wanted]} on this host already, since ${since}`;
		case "set":
			return since === undefined
				? `${who} is enabled${later}`
				: `${who} ${DONE[wanted]} on this host until l3dsr enable ${who}${later}`;
		case "forgotten":
			return `${who} is removed from the file: it is not in the fleet`;
		case "fleet":
			return `${who} stays as it is: the fleet's table says state: ${state}; change it there`;
	}
}
