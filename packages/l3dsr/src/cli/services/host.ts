/** What the commands for services need of the host. Passed in, so that a test can replace it. */
import type { HostEffects } from "../../reconcile/host-effects.ts";
import { SYSTEM_EFFECTS } from "../../reconcile/system-effects.ts";
import { type SourceFiles, SYSTEM_FILES } from "../../sources/source-files.ts";

export interface ServiceHost extends HostEffects, SourceFiles {}

export const SYSTEM_HOST: ServiceHost = { ...SYSTEM_EFFECTS, ...SYSTEM_FILES };
