/**
 * The files that a wish is read from, and what their text means on this host. Passed in, so that a test can replace
 * them.
 */
import { readdirSync, statSync } from "node:fs";
import type { Address } from "@l3dsr/packet";
import { listInterfaceAddresses } from "../host/addresses.ts";
import { readText } from "../host/files.ts";
import { ipv4AddressOf } from "../host/host-name.ts";

export const CONFIG_FILE = "/etc/l3dsr/l3dsr.yaml";
const DSR_CONF_FOLDER = "/etc/dsr.d";

export interface SourceFiles {
	/** dsrctl's folder. */
	readonly dsrConfFolder: string;
	/** Reads like host/files.ts, with the failures that `fileReason` describes. */
	readFile(path: string): string;
	/** Names in a folder; undefined if `path` is not a folder. */
	listFolder(path: string): string[] | undefined;
	/** The IPv4 address of a host name; undefined if it has none. */
	addressOf(name: string): Promise<Address | undefined>;
	/** Addresses of this host's interfaces, except those of scope `host`. */
	ownAddresses(): readonly Address[];
}

/** The files of this host. */
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

/** Undefined if it cannot be read. */
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
