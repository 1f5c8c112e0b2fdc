/** The file in which `l3dsr drain` and `l3dsr disable` keep what they set: JSON, one record for each real server. */
import { L3dsrError } from "../errors.ts";
import type { HeldReal } from "../model/held-real.ts";
import { NAME_PATTERN } from "./config/read-value.ts";

const SCHEMA = "l3dsr.held/1";

export function formatHeldReals(reals: readonly HeldReal[]): string {
	return `${JSON.stringify({ schema: SCHEMA, reals }, undefined, 2)}\n`;
}

/** Throws L3dsrError (STATE_READ) for anything else than what `formatHeldReals` writes. */
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
		message: `read ${source}, which says what is drained and disabled here: ${why}`,
		hint: "mend the file, or remove it: then the states of the fleet's table hold alone",
	});
}
