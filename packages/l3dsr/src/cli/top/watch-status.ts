/** Repeated status with rates: full-screen on a terminal, elsewhere one table or record after the other. */
import { setTimeout as delay } from "node:timers/promises";
import { hostName } from "@l3dsr/linux";
import { identifyStatus } from "../../inspect/status/identify.ts";
import { withRates } from "../../inspect/status/rates.ts";
import type { StatusRecord } from "../../inspect/status/status.ts";
import { type CliContext, writeJson } from "../context.ts";
import { diagnosticsOf } from "../error-table.ts";
import { VERSION } from "../package-version.ts";
import { statusText } from "../services/status-text.ts";
import { styleFor } from "../style.ts";
import type { Terminal } from "../terminal.ts";
import { decodeKeys } from "./keys.ts";
import { type Look, renderTop, type Screen } from "./screen.ts";
import { afterKey, afterLook, FIRST_STATE, type TopState, within } from "./state.ts";

export interface WatchOptions {
	/** Looks at the host once. */
	readonly look: () => Promise<{ readonly record: StatusRecord }>;
	readonly json: boolean;
	readonly intervalMs: number;
	/** Until it is aborted. */
	readonly signal: AbortSignal;
}

export async function watchStatus(context: CliContext, options: WatchOptions): Promise<void> {
	const { terminal } = context;
	if (options.json || terminal === undefined) await printAgain(context, options);
	else await fillScreen(context, terminal, options);
}

async function printAgain(context: CliContext, options: WatchOptions): Promise<void> {
	const { stdout, env } = context;
	const style = styleFor(stdout, env);
	for await (const record of ratedRecords(options)) {
		if (options.json) writeJson(stdout, "status", identifyStatus(record, VERSION), { lines: true });
		else stdout.write(statusText(record, style, true));
	}
}

/** One record for each update, with the rates since the previous one. */
async function* ratedRecords({ look, intervalMs, signal }: WatchOptions): AsyncGenerator<StatusRecord> {
	let before: StatusRecord | undefined;
	let lookedAt = performance.now();
	while (!signal.aborted) {
		const { record } = await look();
		const now = performance.now();
		yield withRates(record, before, now - lookedAt);
		before = record;
		lookedAt = now;
		await delay(intervalMs, undefined, { signal }).catch(() => {});
	}
}

async function fillScreen(context: CliContext, terminal: Terminal, options: WatchOptions): Promise<void> {
	const ended = new AbortController();
	const signal = AbortSignal.any([options.signal, ended.signal]);
	// If the host cannot be read at all, the command fails instead of showing a screen.
	const first = await options.look();
	let state: TopState = FIRST_STATE;
	let look: Look = lookOf(withRates(first.record, undefined, 0));
	let extent: Pick<Screen, "rows" | "page"> = { rows: 0, page: 1 };
	const style = styleFor(context.stdout, context.env);
	const unicode = isUnicode(context.env);
	const draw = (): void => {
		const screenNow = renderTop(look, state, { ...terminal.size(), style, unicode });
		extent = screenNow;
		state = { ...state, offset: within(state.offset, extent) };
		screen.draw(screenNow.lines);
	};
	using screen = terminal.open({
		changed: () => draw(),
		input: (text) => {
			for (const key of decodeKeys(text)) {
				if (key.kind === "suspend") screen.suspend();
				const next = afterKey(state, key, { ...extent, directs: look.record.director !== undefined });
				if (next === "end") ended.abort();
				else state = next;
			}
			draw();
		},
	});
	let before = first.record;
	let lookedAt = performance.now();
	draw();
	while (!signal.aborted) {
		await delay(options.intervalMs, undefined, { signal }).catch(() => {});
		if (signal.aborted) return;
		const found = await tryLook(options.look);
		const now = performance.now();
		if (typeof found === "string") look = { ...look, failed: found, time: clock() };
		else {
			look = lookOf(withRates(found.record, before, now - lookedAt));
			before = found.record;
			lookedAt = now;
			state = afterLook(state, look.record);
		}
		draw();
	}
}

/** The screen shows a temporary failure to read the host; a bug of ours ends the command. */
async function tryLook(look: WatchOptions["look"]): Promise<{ readonly record: StatusRecord } | string> {
	try {
		return await look();
	} catch (error) {
		const [{ code, message }] = diagnosticsOf(error);
		if (code === "INTERNAL") throw error;
		return message;
	}
}

function lookOf(record: StatusRecord): Look {
	return { record, host: hostName(), time: clock() };
}

function clock(): string {
	return new Date().toTimeString().slice(0, 8);
}

/** As locale(7) has it: the first of these that is set. */
function isUnicode({ LC_ALL, LC_CTYPE, LANG }: CliContext["env"]): boolean {
	const locale = [LC_ALL, LC_CTYPE, LANG].find((value) => value !== undefined && value !== "") ?? "";
	return /utf-?8/i.test(locale);
}
