/** What is said of programs that a process may not look at. A file of its own: whoever says it loads no datapath. Pure. */
import { describeMissing } from "../host/capabilities.ts";
import type { HostSnapshot } from "./host-datapath.ts";

/** One sentence for each program that could not be looked at. */
export function hiddenTexts({ limited }: Pick<HostSnapshot, "limited">): string[] {
	if (limited === undefined) return [];
	const why = describeMissing(limited.missing);
	return limited.hidden.map((one) => `${one} may be l3dsr's and was not read: ${why}`);
}
