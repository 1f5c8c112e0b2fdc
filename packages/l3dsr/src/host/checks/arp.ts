/** Two hosts must not claim one address: who answers ARP for a VIP gets the clients' packets. */
import { prefixContains, prefixOf, sameAddress } from "@l3dsr/packet";
import { type Check, type CheckFinding, loopbackOf, titleOf } from "./check.ts";

export const checkArp: Check = ({ configuration, facts, guard }) =>
	configuration.services.flatMap((service): CheckFinding[] => {
		const { vip } = service;
		const others = facts.interfaces.filter(({ name }) => name !== "lo");
		const holder = others.find(({ addresses }) => addresses.some(({ address }) => sameAddress(address, vip)));
		if (holder !== undefined) {
			return [
				{
					check: "arp",
					severity: "warning",
					message: `${titleOf(service)} is an address of ${holder.name} too, and this host answers ${vip.family === "ipv4" ? "ARP" : "neighbour discovery"} for it there`,
					remedy: `ip address del ${vip.text} dev ${holder.name}, unless this host is also the director`,
				},
			];
		}
		if (vip.family !== "ipv4") return []; // neighbour discovery does not speak for addresses of lo
		const segment = others.find(({ addresses }) =>
			addresses.some(
				({ address, prefixLength }) =>
					address.family === "ipv4" && prefixContains(prefixOf(address, prefixLength), vip),
			),
		);
		const silent = guard?.silent.some((one) => sameAddress(one, vip)) === true;
		const held = loopbackOf(facts)?.addresses.some(({ address }) => sameAddress(address, vip)) === true;
		if (segment === undefined || silent || !held) return [];
		return [
			{
				check: "arp",
				severity: "error",
				message: `${titleOf(service)} lies in the subnet of ${segment.name}, and this host answers ARP for it: two hosts claim it`,
				remedy: "l3dsr up keeps VIPs silent (nft list table arp l3dsr), without any sysctl",
			},
		];
	});
