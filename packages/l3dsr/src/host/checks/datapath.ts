/** A forced datapath that cannot run every rule: up refuses the whole change. */
import type { Check } from "./check.ts";

export const checkDatapath: Check = ({ refused }) =>
	refused === undefined
		? []
		: [
				{
					check: "datapath",
					severity: "error",
					message: `up will refuse to ${refused.message}`,
					remedy: refused.hint ?? "set datapath auto",
				},
			];
