/** Services that are not possible on this host, as up, status and diff report them. */
import type { StoppedService } from "../../plan/startable.ts";

export interface StoppedRecord {
	readonly service: string;
	readonly vip: string;
	readonly reason: string;
}

export function stoppedRecord({ service, reason }: StoppedService): StoppedRecord {
	return { service: service.name, vip: service.vip.text, reason };
}

/** One line. */
export function stoppedText({ service, vip, reason }: StoppedRecord): string {
	return `${service === vip ? vip : `${service} (${vip})`} is stopped: ${reason}\n`;
}
