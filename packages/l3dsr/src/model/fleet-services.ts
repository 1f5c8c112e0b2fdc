/** What a fleet requires of one of its real servers: the services that it answers for the VIPs of its pools. Pure. */
import { type Address, type Dscp, PROTOCOL_NUMBER } from "@l3dsr/packet";
import type { Fleet, FleetService, FleetVip } from "./fleet.ts";
import type { NumberRange } from "./rule.ts";
import type { Service } from "./service.ts";

/** One family's packets for a VIP, and the services of the VIP that send packets here. */
interface Answered {
	readonly vip: FleetVip;
	readonly address: Address;
	readonly code: Dscp;
	readonly services: readonly FleetService[];
}

/**
 * The services of the host that holds `own`: every VIP with a pool that lists one of these addresses, in the order of
 * the fleet. A real server's state does not matter, because its flows go on while it drains.
 *
 * If a code stands for only one VIP here, the code alone selects packets, so that fragments and ICMP errors, which
 * have no ports, arrive too. Only a code for several VIPs also needs protocol and port.
 */
export function servicesOfReal(fleet: Fleet, own: readonly Address[]): Service[] {
	const mine = new Set(own.map(({ text }) => text));
	const answered = fleet.vips.flatMap((vip) => answeredBy(vip, fleet, mine));
	return answered.flatMap((one) => {
		const alone = !answered.some(
			(other) => other.vip !== one.vip && other.code === one.code && sameFamily(other, one),
		);
		return alone ? [wholeService(one)] : one.services.flatMap((service) => portServices(one, service));
	});
}

function answeredBy(vip: FleetVip, fleet: Fleet, mine: ReadonlySet<string>): Answered[] {
	return vip.addresses.flatMap((address) => {
		const code = vip.dscp[address.family];
		const services = vip.services.filter(({ pool: name }) =>
			fleet.pools
				.find((pool) => pool.name === name)
				?.reals.some(({ addresses }) =>
					addresses.some((real) => real.family === address.family && mine.has(real.text)),
				),
		);
		return code === undefined || services.length === 0 ? [] : [{ vip, address, code, services }];
	});
}

function sameFamily(a: Answered, b: Answered): boolean {
	return a.address.family === b.address.family;
}

function wholeService({ vip, address, code }: Answered): Service {
	return { name: vip.name, vip: address, selection: { dscp: code }, clearDscp: false };
}

function portServices({ vip, address, code }: Answered, { port, protocols }: FleetService): Service[] {
	const ports: readonly NumberRange[] | undefined =
		port === "any" ? undefined : [{ first: port, last: port }];
	return [
		{
			name: vip.name,
			vip: address,
			selection: {
				dscp: code,
				protocols: protocols.map((protocol) => PROTOCOL_NUMBER[protocol]),
				...(ports === undefined ? {} : { ports }),
			},
			clearDscp: false,
		},
	];
}
