/** How a host stands, in one word. */
import type { StatusRecord } from "./status.ts";

export type Verdict = "right" | "failed" | "differs";

/** A service that does not run weighs more than a difference that harms none. */
export function verdictOf({ services, director, drift, refused }: StatusRecord): Verdict {
	if (services.some(({ state }) => state === "down" || state === "partial")) return "failed";
	if (director?.programs.length === 0 || director?.services.some(({ state }) => state === "down"))
		return "failed";
	return drift.length > 0 || refused !== undefined ? "differs" : "right";
}
