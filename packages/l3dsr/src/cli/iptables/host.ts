/** What the commands of iptables-daddr need of the host: passed in, so that a test can pass something else. */

import { readFileSync } from "node:fs";
import { type Address, addressBits } from "@l3dsr/packet";
import { L3dsrError } from "../../errors.ts";
import type { Rule } from "../../model/rule.ts";
import type { HostEffects } from "../../reconcile/host-effects.ts";
import { SYSTEM_EFFECTS } from "../../reconcile/system-effects.ts";
import { parseServices, type Services } from "../../syntax/iptables/names.ts";

export interface IptablesHost extends HostEffects {
	/** /etc/services. */
	readonly services: Services;
	/** Names of hosts, by address text; those without a name are not in it. */
	hostNames(addresses: readonly Address[]): Promise<ReadonlyMap<string, string>>;
	readonly isRoot: boolean;
	/** Whether the kernel has IPv6, and whether it is switched off in this namespace. */
	ipv6(): "on" | "off" | "absent";
	readFile(path: string): string;
	now(): Date;
}

export function systemHost(): IptablesHost {
	let services: Services | undefined;
	return {
		...SYSTEM_EFFECTS,
		services: {
			port: (name, protocol) => load().port(name, protocol),
			name: (port, protocol) => load().name(port, protocol),
			get names() {
				return load().names;
			},
		},
		hostNames,
		isRoot: process.geteuid?.() === 0,
		ipv6: ipv6State,
		readFile,
		now: () => new Date(),
	};

	function load(): Services {
		services ??= parseServices(readIfThere("/etc/services"));
		return services;
	}
}

function readIfThere(path: string): string {
	try {
		return readFileSync(path, "utf8");
	} catch {
		return "";
	}
}

/** A file, or stdin for "-". */
function readFile(path: string): string {
	try {
		return readFileSync(path === "-" ? 0 : path, "utf8");
	} catch (cause) {
		const reason = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
		const name = path === "-" ? "standard input" : path;
		throw new L3dsrError({ code: "FILE_READ", message: `read ${name}: ${reason}` }, { cause });
	}
}

function ipv6State(): "on" | "off" | "absent" {
	const text = readIfThere("/proc/sys/net/ipv6/conf/all/disable_ipv6");
	if (text === "") return "absent";
	return text.trim() === "1" ? "off" : "on";
}

/** All lookups together take no longer than this: a listing must come also when no name server answers. */
const LOOKUP_MS = 2000;

/** As getnameinfo(3) says: /etc/hosts, then DNS. */
async function hostNames(addresses: readonly Address[]): Promise<ReadonlyMap<string, string>> {
	const names = new Map<string, string>();
	if (addresses.length === 0) return names;
	const { lookupService } = await import("node:dns/promises");
	const lookups = addresses.map(async ({ text }) => {
		try {
			const { hostname } = await lookupService(text, 0);
			if (hostname !== text) names.set(text, hostname);
		} catch {
			// No name: the address is printed.
		}
	});
	const { setTimeout: delay } = await import("node:timers/promises");
	const stop = new AbortController();
	const deadline = delay(LOOKUP_MS, undefined, { signal: stop.signal, ref: false }).catch(() => undefined);
	await Promise.race([Promise.all(lookups), deadline]);
	stop.abort();
	return names;
}

/** The addresses that iptables looks names up for: those of one host. */
export function hostAddresses(rules: readonly { readonly rule: Rule }[]): Address[] {
	const found = new Map<string, Address>();
	for (const { rule } of rules) {
		for (const match of [rule.header.source, rule.header.destination]) {
			if (match === undefined || match.prefix.length < addressBits(rule.family)) continue;
			found.set(match.prefix.address.text, match.prefix.address);
		}
	}
	return [...found.values()];
}
