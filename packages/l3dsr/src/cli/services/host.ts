/** What the commands around services need of the host: passed in, so that a test can pass something else. */

import { readdirSync, readFileSync, statSync } from "node:fs";
import type { Address } from "@l3dsr/packet";
import {
	type AddressChange,
	type AddressedInterface,
	changeLoopbackAddresses,
	listInterfaceAddresses,
} from "../../host/addresses.ts";
import { ipv4AddressOf } from "../../host/host-name.ts";
import { loopbackTakesIpv6 } from "../../host/ipv6.ts";
import { acquireHostLock } from "../../host/lock.ts";
import { type ProgramRunner, systemPrograms } from "../../host/process.ts";
import { applyGuard, type ObservedGuard, observeGuard } from "../../host/vip-guard.ts";
import type { Configuration } from "../../model/configuration.ts";
import type { VipGuard } from "../../model/vip-guard.ts";
import type { HostDatapath } from "../../rewrite/host-datapath.ts";
import type { CliContext } from "../context.ts";

export const CONFIG_FILE = "/etc/l3dsr/l3dsr.yaml";
export const DSR_CONF_FOLDER = "/etc/dsr.d";

export type EngineChoice = Pick<Configuration, "datapath" | "hook" | "openChecksums">;

export interface ServiceHost {
	readonly programs: ProgramRunner;
	/** dsrctl's folder. */
	readonly dsrConfFolder: string;
	/** Throws what the file system says (ENOENT, EACCES …). */
	readFile(path: string): string;
	/** Names in a folder; undefined when `path` is not one. */
	listFolder(path: string): string[] | undefined;
	/** The IPv4 address of a host name; undefined when it has none. */
	addressOf(name: string): Promise<Address | undefined>;
	openDatapath(wanted: EngineChoice): Promise<HostDatapath>;
	interfaces(): Promise<AddressedInterface[]>;
	/** False when `lo` takes no IPv6 addresses. */
	hasIpv6(): boolean;
	changeLoopback(changes: readonly AddressChange[]): Promise<void>;
	guard(): Promise<ObservedGuard>;
	applyGuard(desired: VipGuard | undefined, observed: ObservedGuard): Promise<void>;
	/** Throws LOCK_HELD when the wait is over. */
	lock(waitMs: number): Promise<Disposable>;
}

export function systemServiceHost({ env }: Pick<CliContext, "env">): ServiceHost {
	const programs = systemPrograms(env);
	return {
		programs,
		dsrConfFolder: DSR_CONF_FOLDER,
		readFile: (path) => readFileSync(path, "utf8"),
		listFolder: (path) => (isFolder(path) ? readdirSync(path) : undefined),
		addressOf: ipv4AddressOf,
		async openDatapath(wanted) {
			const { openDatapath } = await import("../../rewrite/host-datapath.ts");
			return openDatapath({ env, ...forced(wanted, env) });
		},
		interfaces: async () => listInterfaceAddresses(),
		hasIpv6: loopbackTakesIpv6,
		changeLoopback: async (changes) => changeLoopbackAddresses(changes),
		guard: async () => observeGuard(),
		applyGuard: async (desired, observed) => applyGuard(desired, observed),
		lock: (waitMs) => acquireHostLock({ waitMs }),
	};
}

/** What the configuration leaves to choose (`auto`, `tc`, `refuse`), the environment may choose. */
function forced(
	{ datapath, hook, openChecksums }: EngineChoice,
	env: CliContext["env"],
): Partial<EngineChoice> {
	return {
		...(datapath === "auto" ? {} : { datapath }),
		...(hook === "tc" && env["L3DSR_HOOK"] !== undefined ? {} : { hook }),
		...(openChecksums === "refuse" ? {} : { openChecksums }),
	};
}

function isFolder(path: string): boolean {
	try {
		return statSync(path).isDirectory();
	} catch {
		return false;
	}
}
