/** What dsrctl needs of the host: passed in, so that a test can pass something else. */
import type { HostEffects } from "../../reconcile/host-effects.ts";
import { SYSTEM_EFFECTS } from "../../reconcile/system-effects.ts";
import { type SourceFiles, SYSTEM_FILES } from "../../sources/source-files.ts";

export interface DsrctlHost extends HostEffects, SourceFiles {
	readonly isRoot: boolean;
}

export function systemHost(): DsrctlHost {
	return { ...SYSTEM_EFFECTS, ...SYSTEM_FILES, isRoot: process.geteuid?.() === 0 };
}
