/** What a fleet asks of one of its real servers: the services that it answers for the VIPs of its pools. Pure. */
import { type Address, type Dscp, PROTOCOL_NUMBER } from "@l3dsr/packet";
import type { Fleet, FleetService, FleetVip } from "./fleet.ts";
import type { NumberRange } from "./rule.ts";
import type { Service } from "./service.ts";

/** The VIP's packets of one family, and which of its services send some here. */
interface Answered {
	readonly vip: FleetVip;
	readonly address: Address;
	readonly code: Dscp;
	readonly services: readonly FleetService[];
}

/**
 * The services of the host that holds `own`: every VIP with a pool that lists one of these addresses, whatever the real
 * server's state, because flows go on while it drains. In the order of the fleet.
 *
 * A code that stands for one VIP here selects by itself, so that fragments and ICMP errors, which have no ports, arrive
 * too. Only a code that stands for several is told apart by protocol and port.
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
