/** Reads the facts that a director's checks need. */
import { readFileSync } from "node:fs";
import { listInterfaces, Netlink } from "@l3dsr/linux";
import type { HostFacts } from "../../host/facts.ts";
import { wayTo } from "../../host/way.ts";
import type { Fleet } from "../../model/fleet.ts";
import type { DirectorFacts, RealWay } from "./input.ts";

/** Reads the facts of this network namespace. Throws LinuxError. */
export function gatherDirectorFacts(fleet: Fleet, host: HostFacts): DirectorFacts {
	using netlink = new Netlink();
	const links = new Map(listInterfaces(netlink).map((one) => [one.index, one]));
	const ways = new Map<string, RealWay>();
	for (const address of fleet.pools.flatMap(({ reals }) => reals.flatMap(({ addresses }) => addresses))) {
		const way = wayTo(address, netlink);
		const out = way.to === "link" ? links.get(way.index) : undefined;
		if (way.to !== "link") ways.set(address.text, way);
		else if (out === undefined) ways.set(address.text, { to: "nowhere" });
		else {
			const below = out.linkedTo === undefined ? undefined : links.get(out.linkedTo);
			ways.set(address.text, {
				to: "link",
				interface: out.name,
				...(below === undefined || out.vlanId === undefined
					? {}
					: { tagged: { interface: below.name, vlan: out.vlanId } }),
				mtu: Math.min(way.mtu ?? out.mtu, out.mtu),
			});
		}
	}
	const names = host.interfaces.map(({ name }) => name);
	return {
		interfaces: host.interfaces,
		dscpWriters: host.dscpWriters,
		ways,
		forwardsIpv4: new Set(names.filter((name) => isOn(`ipv4/conf/${name}/forwarding`))),
		forwardsIpv6: isOn("ipv6/conf/all/forwarding"),
		// The kernel sends redirects if either setting says so (ip-sysctl: send_redirects).
		sendsRedirects: new Set(
			names.filter((name) => ["all", name].some((of) => isOn(`ipv4/conf/${of}/send_redirects`))),
		),
	};
}

function isOn(sysctl: string): boolean {
	try {
		return Number(readFileSync(`/proc/sys/net/${sysctl}`, "utf8")) > 0;
	} catch {
		return false; // no IPv6, or the interface is gone
	}
}
