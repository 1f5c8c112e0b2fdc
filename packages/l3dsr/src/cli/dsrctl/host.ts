/** What dsrctl needs of the host: passed in, so that a test can pass something else. */

import { readdirSync, readFileSync, statSync } from "node:fs";
import type { Address } from "@l3dsr/packet";
import { changeLoopbackAddresses, listLoopbackAddresses } from "../../host/addresses.ts";
import { ipv4AddressOf } from "../../host/host-name.ts";
import { loopbackTakesIpv6 } from "../../host/ipv6.ts";
import { acquireHostLock } from "../../host/lock.ts";
import type { LoopbackAddress, LoopbackStep } from "../../plan/loopback.ts";
import { type HostDatapath, openDatapath } from "../../rewrite/host-datapath.ts";
import type { CliContext } from "../context.ts";

export interface DsrctlHost {
	readonly isRoot: boolean;
	/** l3dsr.yaml; undefined when there is none. */
	readSettings(): { readonly text: string; readonly source: string } | undefined;
	/** Undefined when there is no such directory. */
	listDirectory(path: string): readonly string[] | undefined;
	/** Undefined when it cannot be read. */
	readFile(path: string): string | undefined;
	/** The IPv4 address of a host name; undefined when it has none. */
	addressOf(name: string): Promise<Address | undefined>;
	/** False when `lo` takes no IPv6 addresses. */
	hasIpv6(): boolean;
	openDatapath(): HostDatapath;
	loopbackAddresses(): Promise<readonly LoopbackAddress[]>;
	/** Throws at the first step that is refused; those before it stand. */
	changeLoopback(steps: readonly LoopbackStep[]): Promise<void>;
	/** The lock around every change of the host's rules; waits for it. */
	lock(): Promise<Disposable>;
}

const SETTINGS = "/etc/l3dsr/l3dsr.yaml";

export function systemHost({ env }: CliContext): DsrctlHost {
	return {
		isRoot: process.geteuid?.() === 0,
		readSettings() {
			const text = readIfThere(SETTINGS);
			return text === undefined ? undefined : { text, source: SETTINGS };
		},
		listDirectory(path) {
			try {
				return statSync(path).isDirectory() ? readdirSync(path) : undefined;
			} catch {
				return undefined;
			}
		},
		readFile: readIfThere,
		addressOf: ipv4AddressOf,
		hasIpv6: loopbackTakesIpv6,
		openDatapath: () => openDatapath({ env }),
		loopbackAddresses: async () => listLoopbackAddresses(),
		changeLoopback: async (steps) => changeLoopbackAddresses(steps),
		lock: () => acquireHostLock({ waitMs: Number.POSITIVE_INFINITY }),
	};
}

function readIfThere(path: string): string | undefined {
	try {
		return readFileSync(path, "utf8");
	} catch {
		return undefined;
	}
}
