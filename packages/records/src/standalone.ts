/** The schema of each standalone record. */
import type * as z from "zod/mini";
import { check } from "./check.ts";
import { errors } from "./diagnostic.ts";
import { events, printedEvent } from "./event.ts";
import { exported, imported } from "./export.ts";
import { findings } from "./finding.ts";
import { fleet } from "./fleet.ts";
import { lab, labDown } from "./lab.ts";
import { diff, plan } from "./plan.ts";
import { probe } from "./probe.ts";
import { show } from "./show.ts";
import { status } from "./status.ts";
import { tracedFrame, traceSummary } from "./trace.ts";
import type { StandaloneName } from "./version.ts";
import { version } from "./version-record.ts";
import { watch, watchForwarded, watchLeftOut } from "./watch.ts";

export const STANDALONE = {
	status,
	findings,
	"agent-event": printedEvent,
	events,
	fleet,
	trace: tracedFrame,
	"trace-summary": traceSummary,
	errors,
	plan,
	diff,
	check,
	show,
	watch,
	"watch-forwarded": watchForwarded,
	"watch-left-out": watchLeftOut,
	probe,
	export: exported,
	import: imported,
	lab,
	"lab-down": labDown,
	version,
} as const satisfies Record<StandaloneName, z.ZodMiniType>;

/** Name → record, without the field `schema`. */
export type Standalone = {
	readonly [N in StandaloneName]: WithoutSchema<z.output<(typeof STANDALONE)[N]>>;
};
type WithoutSchema<T> = T extends unknown ? Omit<T, "schema"> : never;

/**
 * A record before it is printed: a number may still be a bigint, and an optional field must be absent, not
 * undefined.
 */
export type Unprinted<T> = T extends number
	? T | bigint
	: T extends readonly (infer Item)[]
		? readonly Unprinted<Item>[]
		: T extends object
			? { readonly [K in keyof T]: Unprinted<T[K]> }
			: T;
