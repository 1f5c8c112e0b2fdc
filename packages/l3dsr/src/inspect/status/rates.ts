/** The increase of counters between two reads, per second. Pure. */
import type { Counters } from "../../model/rule.ts";
import type { DirectorRecord } from "./director-record.ts";
import { countedRate, type Rate, rateOf } from "./service-rows.ts";
import type { StatusRecord } from "./status.ts";

/** The record with rates; without `before`, there are none. */
export function withRates(
	record: StatusRecord,
	before: StatusRecord | undefined,
	elapsedMs: number,
): StatusRecord {
	const { services, director } = record;
	return {
		...record,
		services: services.map((row) => ({ ...row, rate: rateOf(row, before?.services ?? [], elapsedMs) })),
		...(director === undefined ? {} : { director: directorRates(director, before?.director, elapsedMs) }),
	};
}

function directorRates(
	director: DirectorRecord,
	before: DirectorRecord | undefined,
	elapsedMs: number,
): DirectorRecord {
	const rate = (now: Counters, old: Counters | undefined): Rate | null =>
		old === undefined ? null : countedRate(now, old, elapsedMs);
	return {
		...director,
		services: director.services.map((service) => {
			const old = before?.services.find(
				({ vip, protocol, port }) =>
					vip === service.vip && protocol === service.protocol && port === service.port,
			);
			const reals = service.reals.map((real) => ({
				...real,
				rate: rate(
					real,
					old?.reals.find(({ address }) => address === real.address),
				),
			}));
			return { ...service, rate: rate(service, old), reals };
		}),
	};
}
