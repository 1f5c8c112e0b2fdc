/** What has to be asked for a fleet's pools: one question for each VIP address, port and real server. Pure. */
import { type Address, type Dscp, type Port, PROTOCOL_NUMBER } from "@l3dsr/packet";
import type { Check, Fleet, FleetService, FleetVip, Pool, Real } from "../../model/fleet.ts";
import { keyText, type ServiceKey } from "../service.ts";

export interface CheckTarget {
	/** The same for the same question, whatever else of the fleet changes. */
	readonly key: string;
	readonly check: Check;
	/** Names in the fleet. */
	readonly pool: string;
	readonly real: string;
	readonly vip: Address;
	/** The real server's address of the VIP's family. */
	readonly address: Address;
	readonly dscp: Dscp;
	/** Of the VIP; absent for icmp, and for exec with a service of every port. */
	readonly port?: Port;
	/** Whose health it is: several services can have the same question. */
	readonly services: readonly ServiceKey[];
}

/** By these the health of a real server is found for one service. */
export function healthKey(service: ServiceKey, pool: string, real: string): string {
	return `${keyText(service)} ${pool} ${real}`;
}

/** Disabled real servers are not asked, nor those of a pool without a check or of a service without a port to ask at. */
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

/** The check's own, or that of the service. */
function portOf(check: Check, service: FleetService): Port | undefined {
	if (check.type === "icmp") return undefined;
	const own = check.type === "exec" ? undefined : check.port;
	return own ?? (service.port === "any" ? undefined : service.port);
}

/** All of a check but its timing: with another interval it is still the same question. */
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
