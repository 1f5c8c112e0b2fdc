/** What the commands of iptables-daddr need of the host. Passed in, so that a test can replace it. */

import type { Address } from "@l3dsr/packet";
import { type Missing, missingFor, readAuthority } from "../../host/capabilities.ts";
import { readFailure, readText } from "../../host/files.ts";
import { namesOf } from "../../host/host-name.ts";
import { ipv6State } from "../../host/ipv6.ts";
import type { HostSettings } from "../../model/configuration.ts";
import type { HostEffects } from "../../reconcile/host-effects.ts";
import { SYSTEM_EFFECTS } from "../../reconcile/system-effects.ts";
import { readHostSettings } from "../../sources/host-settings.ts";
import { parseServices, type Services } from "../../syntax/iptables/names.ts";

export interface IptablesHost extends HostEffects {
	/** /etc/services. */
	readonly services: Services;
	/** Host names by address text; addresses without a name are missing. */
	hostNames(addresses: readonly Address[]): Promise<ReadonlyMap<string, string>>;
	/** Why this process cannot read or change rules. */
	readonly missing: Missing | undefined;
	readonly isRoot: boolean;
	/** Whether the kernel has IPv6, and whether it is disabled in this namespace. */
	ipv6(): "on" | "off" | "absent";
	readFile(path: string): string;
	/** The settings of the datapaths in this host's configuration. */
	settings(): Promise<HostSettings>;
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
		hostNames: namesOf,
		get missing() {
			return missingFor("network", readAuthority());
		},
		isRoot: process.geteuid?.() === 0,
		ipv6: ipv6State,
		readFile,
		settings: () => readHostSettings({ readFile: readText }),
		now: () => new Date(),
	};

	function load(): Services {
		services ??= parseServices(readIfThere("/etc/services"));
		return services;
	}
}

function readIfThere(path: string): string {
	try {
		return readText(path);
	} catch {
		return "";
	}
}

/** A file, or stdin for "-". */
function readFile(path: string): string {
	try {
		return readText(path);
	} catch (cause) {
		throw readFailure("FILE_READ", "", path, cause);
	}
}
