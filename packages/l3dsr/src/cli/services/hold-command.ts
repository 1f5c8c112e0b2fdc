/** What drain, enable and disable do: they take real servers out of use on this director, or back. */
import type { Command } from "commander";
import { L3dsrError } from "../../errors.ts";
import { describeStep, stepRecord } from "../../inspect/describe-step.ts";
import { explaining } from "../../inspect/failure-text.ts";
import type { DesiredDirector, DirectorConfiguration } from "../../model/director.ts";
import type { Fleet, RealState } from "../../model/fleet.ts";
import {
	type HeldReal,
	holdReals,
	type RealName,
	realsMeant,
	realText,
	sameReal,
} from "../../model/held-real.ts";
import { directorDrift } from "../../plan/director-drift.ts";
import type { DesiredHost, Step } from "../../plan/host-state.ts";
import { planHost, reconcile } from "../../reconcile/reconcile.ts";
import type { Plan, Target } from "../../reconcile/target.ts";
import { loadConfiguration } from "../../sources/configuration.ts";
import { directorWith } from "../../sources/director.ts";
import { readHeldReals, writeHeldReals } from "../../sources/held-reals.ts";
import { resolveSettings } from "../../sources/settings.ts";
import { didYouMean } from "../../syntax/suggest.ts";
import { type CliContext, writeJson } from "../context.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { interruptible } from "../interrupt.ts";
import { sayWaiting } from "../lock-wait.ts";
import { reportError } from "../report.ts";
import { type ServiceOptions, serviceCommand } from "./command.ts";
import type { ServiceHost } from "./host.ts";

/** The command of one state; the words of its arguments are read as `realsMeant` does. */
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
	const reals = meant(words, loaded.fleet, before);
	const after = holdReals(before, reals, state, new Date());
	const target = (held: readonly HeldReal[]) =>
		heldTarget({ ...directorWith(director.settings, loaded.fleet, held), rulesAt: settings.hook });
	const standing = await planHost(host, datapath, target(before));
	const runs = standing.observed.director.runsAt.length > 0;
	if (runs) requireApplied(standing, options.config);
	const plan = runs ? await planHost(host, datapath, target(after)) : undefined;
	if (plan?.directorRefused !== undefined) throw plan.directorRefused;
	const print = (step: Step): void => {
		if (options.json === true) return;
		for (const line of describeStep(step)) stdout.write(`${line}\n`);
	};
	if (options.dryRun === true) plan?.steps.forEach(print);
	else {
		await interruptible(context, async (signal) => {
			try {
				await keeping(director, { before, after }, async () => {
					if (runs) await explaining(() => reconcile(host, datapath, [target(after)], { onStep: print }));
				});
			} catch (error) {
				if (signal.aborted) reportError(context, error);
				throw error;
			}
		});
	}
	const outcomes = reals.map((real) => outcomeOf(real, state, loaded.fleet, { before, after, runs }));
	if (options.json === true) {
		writeJson(stdout, "plan", {
			configuration: options.config,
			dryRun: options.dryRun === true,
			stopped: [],
			steps: (plan?.steps ?? []).map(stepRecord),
		});
	} else for (const { text } of outcomes) stdout.write(`${text}\n`);
	return outcomes.some(({ done }) => !done) ? EXIT.failed : EXIT.done;
}

/** The director as the fleet and these states say; nothing else of the host. */
function heldTarget(director: DesiredDirector): Target<DesiredHost> {
	return { scope: "director", desired: () => ({ ruleset: { entries: [] }, director }) };
}

/** The file is written first: whoever comes after a crash does what was asked for. What fails is taken back. */
async function keeping(
	{ state }: DirectorConfiguration,
	{ before, after }: { readonly before: readonly HeldReal[]; readonly after: readonly HeldReal[] },
	work: () => Promise<void>,
): Promise<void> {
	writeHeldReals(state, after);
	try {
		await work();
	} catch (error) {
		writeHeldReals(state, before);
		throw error;
	}
}

function meant(words: readonly string[], fleet: Fleet, held: readonly HeldReal[]): RealName[] {
	const found: RealName[] = [];
	for (const word of words) {
		const reals = realsMeant(word, fleet, held);
		if (reals.length === 0) throw notFound(word, fleet);
		for (const real of reals) if (!found.some((one) => sameReal(one, real))) found.push(real);
	}
	return found;
}

function notFound(word: string, { pools }: Fleet): L3dsrError {
	const names = pools.flatMap(({ name, reals }) =>
		reals.flatMap((real) => [real.name, realText({ pool: name, real: real.name })]),
	);
	return new L3dsrError({
		code: "REAL_NOT_FOUND",
		message: `find real server ${word}: no pool of the fleet has it`,
		hint: didYouMean(word, names) ?? "l3dsr status lists the real servers",
	});
}

function noDirector(path: string): L3dsrError {
	return new L3dsrError({
		code: "CONFIG_MISSING",
		message: `${path} does not make this host a director`,
		hint: "on a real server: run the command on its directors, or set state: in the fleet's table",
	});
}

/** A change of the fleet that waits for `up` is not applied by the way. */
function requireApplied({ steps, directorRefused }: Plan, path: string): void {
	if (directorRefused !== undefined) throw directorRefused;
	const drift = steps.flatMap((step) => (step.kind === "director" ? directorDrift(step.plan) : []));
	if (drift.length === 0) return;
	throw new L3dsrError({
		code: "DIRECTOR_DRIFT",
		message: `change the director alone: it is not what ${path} and the fleet say, and that would change too`,
		notes: drift.slice(0, MOST_NOTES).map(({ object, problem }) => `${object} ${problem}`),
		hint: "nothing has been changed; run l3dsr up first (-n says what it does)",
	});
}

const MOST_NOTES = 5;

const DONE: Readonly<Record<RealState, string>> = {
	enabled: "is enabled",
	drain: "is drained",
	disabled: "is disabled",
};

interface Outcome {
	readonly text: string;
	readonly done: boolean;
}

function outcomeOf(
	real: RealName,
	state: RealState,
	fleet: Fleet,
	{ before, after, runs }: { before: readonly HeldReal[]; after: readonly HeldReal[]; runs: boolean },
): Outcome {
	const who = realText(real);
	const [old, now] = [before, after].map((held) => held.find((one) => sameReal(one, real)));
	const later = runs ? "" : "; the director does not run, and l3dsr up will know it";
	const inFleet = fleet.pools
		.find(({ name }) => name === real.pool)
		?.reals.find(({ name }) => name === real.real);
	if (now !== undefined) {
		if (old === now)
			return { text: `${who} ${DONE[state]} on this host already, since ${now.since}`, done: true };
		return { text: `${who} ${DONE[state]} on this host until l3dsr enable ${who}${later}`, done: true };
	}
	if (inFleet === undefined) return { text: `${who} is forgotten: it is not in the fleet`, done: true };
	if (inFleet.state !== "enabled") {
		const hint = `the fleet's table says state: ${inFleet.state}, change it there`;
		return { text: `${who} stays as it is: ${hint}`, done: false };
	}
	return { text: old === undefined ? `${who} is enabled already` : `${who} is enabled${later}`, done: true };
}
