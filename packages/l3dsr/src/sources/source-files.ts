/** The files that a wish is read from, and what their text means on this host: passed in, so that a test can pass others. */
import { readdirSync, statSync } from "node:fs";
import type { Address } from "@l3dsr/packet";
import { listInterfaceAddresses } from "../host/addresses.ts";
import { readText } from "../host/files.ts";
import { ipv4AddressOf } from "../host/host-name.ts";

export const CONFIG_FILE = "/etc/l3dsr/l3dsr.yaml";
export const DSR_CONF_FOLDER = "/etc/dsr.d";

export interface SourceFiles {
	/** dsrctl's folder. */
	readonly dsrConfFolder: string;
	/** As host/files.ts reads it, with the failures that `fileReason` words. */
	readFile(path: string): string;
	/** Names in a folder; undefined when `path` is not one. */
	listFolder(path: string): string[] | undefined;
	/** The IPv4 address of a host name; undefined when it has none. */
	addressOf(name: string): Promise<Address | undefined>;
	/** Addresses that interfaces of this host hold, those of scope `host` left out. */
	ownAddresses(): readonly Address[];
}

/** The host's own. */
export const SYSTEM_FILES: SourceFiles = {
	dsrConfFolder: DSR_CONF_FOLDER,
	readFile: readText,
	listFolder: (path) => (isFolder(path) ? readdirSync(path) : undefined),
	addressOf: ipv4AddressOf,
	ownAddresses: () =>
		listInterfaceAddresses().flatMap(({ addresses }) =>
			addresses.filter(({ scope }) => scope !== "host").map(({ address }) => address),
		),
};

/** Undefined when it cannot be read. */
export function readIfThere(files: Pick<SourceFiles, "readFile">, path: string): string | undefined {
	try {
		return files.readFile(path);
	} catch {
		return undefined;
	}
}

function isFolder(path: string): boolean {
	try {
		return statSync(path).isDirectory();
	} catch {
		return false;
	}
}
