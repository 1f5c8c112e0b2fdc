/** The questions to ask for a fleet's pools: one for each VIP address, port and real server. Pure. */
import { type Address, type Dscp, type Port, PROTOCOL_NUMBER } from "@l3dsr/packet";
import type { Check, Fleet, FleetService, FleetVip, Pool, Real } from "../../model/fleet.ts";
import { keyText, type ServiceKey } from "../service.ts";

export interface CheckTarget {
	/** Stays the same for the same question, whatever else in the fleet changes. */
	readonly key: string;
	readonly check: Check;
	/** Names in the fleet. */
	readonly pool: string;
	readonly real: string;
	readonly vip: Address;
	/** The real server's address in the VIP's family. */
	readonly address: Address;
	readonly dscp: Dscp;
	/** Port of the VIP; absent for icmp, and for exec if the service covers every port. */
	readonly port?: Port;
	/** The services whose health this is; several services can share a question. */
	readonly services: readonly ServiceKey[];
}

/** Key of a real server's health for one service. */
export function healthKey(service: ServiceKey, pool: string, real: string): string {
	return `${keyText(service)} ${pool} ${real}`;
}

/** Leaves out disabled real servers, pools without a check, and services without a port to check. */
export function checkTargets(fleet: Fleet): CheckTarget[] {
	const pools = new Map(fleet.pools.map((pool) => [pool.name, pool]));
	const found = new Map<string, CheckTarget & { services: ServiceKey[] }>();
	for (const vip of fleet.vips) {
		for (const service of vip.services) {
			const pool = pools.get(service.pool);
			if (pool?.check === undefined) continue;
			for (const target of targetsOf(vip, service, pool, pool.check)) {
				const same = found.get(target.key);
				if (same === undefined) found.set(target.key, { ...target, services: [...target.services] });
				else same.services.push(...target.services);
			}
		}
	}
	return [...found.values()];
}

function targetsOf(vip: FleetVip, service: FleetService, pool: Pool, check: Check): CheckTarget[] {
	return vip.addresses.flatMap((address) => {
		const dscp = vip.dscp[address.family];
		const port = portOf(check, service);
		if (dscp === undefined || (port === undefined && check.type !== "icmp" && check.type !== "exec"))
			return [];
		const services = service.protocols.map((protocol) => ({
			address,
			protocol: PROTOCOL_NUMBER[protocol],
			port: service.port === "any" ? 0 : service.port,
		}));
		return pool.reals.filter(isAsked).flatMap(({ name, addresses }) => {
			const own = addresses.find(({ family }) => family === address.family);
			if (own === undefined) return [];
			const key = JSON.stringify([
				pool.name,
				name,
				address.text,
				own.text,
				dscp,
				port ?? 0,
				questionOf(check),
			]);
			return [
				{
					key,
					check,
					pool: pool.name,
					real: name,
					vip: address,
					address: own,
					dscp,
					...(port === undefined ? {} : { port }),
					services,
				},
			];
		});
	});
}

function isAsked({ state }: Real): boolean {
	return state !== "disabled";
}

/** The check's port, or else the service's. */
function portOf(check: Check, service: FleetService): Port | undefined {
	if (check.type === "icmp") return undefined;
	const own = check.type === "exec" ? undefined : check.port;
	return own ?? (service.port === "any" ? undefined : service.port);
}

/** Everything of a check but its timing: a new interval does not make a new question. */
function questionOf({
	intervalMs: _,
	timeoutMs: _timeout,
	fall: _fall,
	rise: _rise,
	...question
}: Check): object {
	if (question.type !== "udp") return question;
	return {
		...question,
		send: [...question.send],
		...(question.expect === undefined ? {} : { expect: [...question.expect] }),
	};
}
