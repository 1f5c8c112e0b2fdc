/** Host names, from the system's resolver (/etc/hosts, DNS). */
import { type Address, parseIpv4 } from "@l3dsr/packet";

/** The first IPv4 address of a name; undefined if it has none, or if nobody answers. */
export async function ipv4AddressOf(name: string): Promise<Address | undefined> {
	const { lookup } = await import("node:dns/promises");
	try {
		return parseIpv4((await lookup(name, { family: 4 })).address);
	} catch {
		return undefined;
	}
}

/** The limit for all lookups together: a listing must appear even if no name server answers. */
const LOOKUP_MS = 2000;

/** Names from getnameinfo(3): /etc/hosts, then DNS. By address text; addresses without a name are missing. */
export async function namesOf(addresses: readonly Address[]): Promise<ReadonlyMap<string, string>> {
	const names = new Map<string, string>();
	if (addresses.length === 0) return names;
	const { lookupService } = await import("node:dns/promises");
	const lookups = addresses.map(async ({ text }) => {
		try {
			const { hostname } = await lookupService(text, 0);
			if (hostname !== text) names.set(text, hostname);
		} catch {
			// No name: print the address.
		}
	});
	const { setTimeout: delay } = await import("node:timers/promises");
	const stop = new AbortController();
	const deadline = delay(LOOKUP_MS, undefined, { signal: stop.signal, ref: false }).catch(() => undefined);
	await Promise.race([Promise.all(lookups), deadline]);
	stop.abort();
	return names;
}
