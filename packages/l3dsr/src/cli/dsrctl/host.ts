/** What dsrctl needs of the host. Passed in, so that a test can replace it. */
import { type Missing, missingFor, readAuthority } from "../../host/capabilities.ts";
import type { HostEffects } from "../../reconcile/host-effects.ts";
import { SYSTEM_EFFECTS } from "../../reconcile/system-effects.ts";
import { type SourceFiles, SYSTEM_FILES } from "../../sources/source-files.ts";

export interface DsrctlHost extends HostEffects, SourceFiles {
	/** Why this process cannot read or change rules and addresses. */
	readonly missing: Missing | undefined;
	readonly isRoot: boolean;
}

export function systemHost(): DsrctlHost {
	return {
		...SYSTEM_EFFECTS,
		...SYSTEM_FILES,
		get missing() {
			return missingFor("network", readAuthority());
		},
		isRoot: process.geteuid?.() === 0,
	};
}
