/** What this network namespace takes for itself: its routes of type "local" (`ip route show type local`). */
import { L3dsrError } from "../errors.ts";
import { addressBits, type Prefix, parseAddress, prefixOf } from "../model/address.ts";
import type { ProgramRunner } from "./process.ts";

/** Of both families. Throws L3dsrError (PROGRAM_MISSING, PROGRAM_FAILED). */
export async function localPrefixes(programs: ProgramRunner): Promise<readonly Prefix[]> {
	const lists = await Promise.all(["-4", "-6"].map((family) => listLocal(programs, family)));
	return lists.flat();
}

async function listLocal(programs: ProgramRunner, family: string): Promise<readonly Prefix[]> {
	const args = ["-j", family, "route", "show", "table", "local", "type", "local"];
	const { exitCode, stdout, stderr } = await programs.run("ip", args);
	// A table that nothing has been put into yet does not exist.
	if (exitCode !== 0 && /FIB table does not exist/.test(stderr)) return [];
	if (exitCode !== 0) {
		throw new L3dsrError({
			code: "PROGRAM_FAILED",
			message: `list the local routes with ip ${args.join(" ")}: ${stderr.trim()}`,
		});
	}
	return parseLocalRoutes(stdout);
}

/** `[{"dst":"127.0.0.0/8"},{"dst":"192.0.2.1"}]`, as `ip -j route` prints. */
export function parseLocalRoutes(json: string): readonly Prefix[] {
	const routes: unknown = JSON.parse(json === "" ? "[]" : json);
	if (!Array.isArray(routes)) return [];
	return routes.flatMap((route: { readonly dst?: unknown }) => {
		const [text = "", length] = typeof route.dst === "string" ? route.dst.split("/") : [];
		const address = parseAddress(text);
		if (address === undefined) return [];
		return [prefixOf(address, length === undefined ? addressBits(address.family) : Number(length))];
	});
}
