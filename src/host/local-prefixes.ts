/**
 * What this network namespace takes for itself: its routes of type "local" (`ip route show type local`).
 *
 * The kernel makes those of an IPv6 address only after the address is there: at once when nothing is in the
 * way, a moment later when it is busy, and a second later with duplicate address detection. So the addresses
 * themselves count as well: what is made from this need not be made again when the route comes.
 */
import { L3dsrError } from "../errors.ts";
import { addressBits, addressFromBytes, type Prefix, parseAddress, prefixOf } from "../model/address.ts";
import { hostPrefix } from "../model/selection.ts";
import { listIpv6Addresses } from "../sys/ipv6-address.ts";
import type { ProgramRunner } from "./process.ts";

/** Of both families. Throws L3dsrError (PROGRAM_MISSING, PROGRAM_FAILED). */
export async function localPrefixes(programs: ProgramRunner): Promise<readonly Prefix[]> {
	const lists = await Promise.all(["-4", "-6"].map((family) => listLocal(programs, family)));
	const prefixes = lists.flat();
	const known = new Set(prefixes.map(keyOf));
	const coming = listIpv6Addresses()
		.map((bytes) => hostPrefix(addressFromBytes([...bytes])))
		.filter((prefix) => !known.has(keyOf(prefix)));
	return [...prefixes, ...new Map(coming.map((prefix) => [keyOf(prefix), prefix])).values()];
}

function keyOf({ address, length }: Prefix): string {
	return `${address.text}/${length}`;
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
