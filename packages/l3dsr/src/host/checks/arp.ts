/**
 * Two hosts must not claim one address: the host that answers ARP for a VIP gets the clients' packets.
 * Judged by whether this host answers: by the guard and arp_ignore, for addresses that the kernel treats as
 * its own.
 */
import { type Address, prefixContains, prefixOf, sameAddress } from "@l3dsr/packet";
import type { HostFacts, InterfaceFacts } from "../facts.ts";
import { type Check, type CheckFinding, titleOf } from "./check.ts";

/** True if the VIP is the interface's only address of its family. */
function isOnlyAddress(vip: Address, { addresses }: InterfaceFacts): boolean {
	return !addresses.some(
		({ address, scope }) => scope === "global" && address.family === vip.family && !sameAddress(address, vip),
	);
}

export const checkArp: Check = ({ configuration, facts, guard }) =>
	configuration.services.flatMap((service): CheckFinding[] => {
		const { vip } = service;
		const others = facts.interfaces.filter((one) => one.name !== "lo" && one.silent !== true);
		const holder = others.find((one) => holds(one, vip));
		const isGuarded = guard?.silent.some((one) => sameAddress(one, vip)) === true;
		if (holder !== undefined && isGuarded) {
			return [
				{
					check: "arp",
					severity: "error",
					message: `${titleOf(service)} is an address of ${holder.name}, and the ARP guard keeps this host silent for it there: nobody can resolve it by ARP`,
					remedy:
						"l3dsr up: the ARP guard covers the addresses that existed when it was created; with VRRP, let the notify script of keepalived run l3dsr up",
				},
			];
		}
		if (holder !== undefined && answersNeighbours(holder, vip, facts)) {
			return [
				{
					check: "arp",
					severity: "warning",
					message: `${titleOf(service)} is an address of ${holder.name} too, and this host answers ${vip.family === "ipv4" ? "ARP" : "neighbour discovery"} for it there`,
					remedy: isOnlyAddress(vip, holder)
						? `give the service a separate address: ${vip.text} is the only one that this host has on ${holder.name}, and without it you may lose your connection to it`
						: `ip address del ${vip.text} dev ${holder.name}, unless this host is also the director or the VRRP master, or you are connected to this address`,
				},
			];
		}
		if (vip.family !== "ipv4" || isGuarded) return []; // neighbour discovery does not answer for addresses of lo
		if (!facts.routes.delivered.some((one) => sameAddress(one, vip))) return [];
		const segment = others.find((one) => one.up && answersForOthers(one) && covers(one, vip));
		if (segment === undefined || !answersNeighbours(segment, vip, facts)) return [];
		return [
			{
				check: "arp",
				severity: "error",
				message: `${titleOf(service)} is in the subnet of ${segment.name}, and this host answers ARP for it: two hosts claim the address`,
				remedy: "l3dsr up suppresses ARP for VIPs (nft list table arp l3dsr), without any sysctl",
			},
		];
	});

/**
 * ARP follows the routes of packets: if reverse path filtering refuses those of the subnet, or no route leads back,
 * the host does not answer.
 */
function answersNeighbours(
	{ name, addresses }: InterfaceFacts,
	vip: Address,
	{ routes }: HostFacts,
): boolean {
	const asked = routes.paths.filter(
		({ vips, client }) =>
			client.reach === "link" &&
			vips.some((one) => sameAddress(one, vip)) &&
			addresses.some(
				({ address, prefixLength }) =>
					address.family === client.address.family &&
					prefixContains(prefixOf(address, prefixLength), client.address),
			),
	);
	const known = asked.flatMap(({ arrivals }) => arrivals.filter((one) => one.interface === name));
	return known.length === 0 || known.some(({ taken }) => taken);
}

function holds({ addresses }: InterfaceFacts, vip: Address): boolean {
	return addresses.some(({ address }) => sameAddress(address, vip));
}

/** Whether the interface answers ARP for addresses of other interfaces (ip-sysctl: arp_ignore). */
function answersForOthers({ arpIgnore }: InterfaceFacts): boolean {
	return arpIgnore === 0 || arpIgnore === 3;
}

function covers({ addresses }: InterfaceFacts, vip: Address): boolean {
	return addresses.some(
		({ address, prefixLength }) =>
			address.family === vip.family && prefixContains(prefixOf(address, prefixLength), vip),
	);
}
