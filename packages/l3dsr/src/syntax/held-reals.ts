/**
 * The arguments of `l3dsr drain` and `l3dsr disable`, and the file that stores them: JSON, one record for each real
 * server.
 */
import { L3dsrError } from "../errors.ts";
import type { Fleet } from "../model/fleet.ts";
import { type HeldReal, type RealName, realsMeant, realText, sameReal } from "../model/held-real.ts";
import { NAME_PATTERN } from "./config/read-value.ts";
import { didYouMean } from "./suggest.ts";

const SCHEMA = "l3dsr.held/1";

export function formatHeldReals(reals: readonly HeldReal[]): string {
	return `${JSON.stringify({ schema: SCHEMA, reals }, undefined, 2)}\n`;
}

/** Throws L3dsrError (STATE_READ) for anything other than the output of `formatHeldReals`. */
export function parseHeldReals(text: string, source: string): HeldReal[] {
	const value = jsonOf(text);
	if (!isMapping(value)) throw damaged(source, "it is not a JSON object");
	if (value["schema"] !== SCHEMA)
		throw damaged(source, `its schema is ${JSON.stringify(value["schema"]) ?? "missing"}, not ${SCHEMA}`);
	const reals = value["reals"];
	if (!Array.isArray(reals)) throw damaged(source, "it has no list of real servers");
	return reals.map((one, index) => {
		const real = heldReal(one);
		if (real === undefined) throw damaged(source, `its entry ${index + 1} is not a real server with a state`);
		return real;
	});
}

function jsonOf(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		return undefined;
	}
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

function heldReal(value: unknown): HeldReal | undefined {
	if (!isMapping(value)) return undefined;
	const { pool, real, state, since } = value;
	const isName = (one: unknown): one is string => typeof one === "string" && NAME_PATTERN.test(one);
	if (!isName(pool) || !isName(real) || (state !== "drain" && state !== "disabled")) return undefined;
	if (typeof since !== "string" || Number.isNaN(Date.parse(since))) return undefined;
	return { pool, real, state, since };
}

function damaged(source: string, why: string): L3dsrError {
	return new L3dsrError({
		code: "STATE_READ",
		message: `read ${source}, which records what is drained and disabled here: ${why}`,
		hint: "repair the file, or remove it: then only the states of the fleet's table apply",
	});
}

/** The real servers named on a command line, each once. Throws L3dsrError (REAL_NOT_FOUND). */
export function realsNamed(words: readonly string[], fleet: Fleet, held: readonly HeldReal[]): RealName[] {
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
		message: `find real server ${word === "" ? '""' : word}: no pool of the fleet has it`,
		hint: didYouMean(word, names) ?? "l3dsr status lists the real servers",
	});
}
