/**
 * Messages about programs that a process may not read. In a separate file, so that printing them loads no datapath.
 * Pure.
 */
import { describeMissing } from "../host/capabilities.ts";
import type { HostSnapshot } from "./host-datapath.ts";

/** One sentence for each program that could not be read. */
export function hiddenTexts({ limited }: Pick<HostSnapshot, "limited">): string[] {
	if (limited === undefined) return [];
	const why = describeMissing(limited.missing);
	return limited.hidden.map((one) => `${one} may be l3dsr's and was not read: ${why}`);
}
