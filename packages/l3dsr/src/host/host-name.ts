/** Names of hosts, as the resolver of this system knows them (/etc/hosts, DNS). */
import { type Address, parseIpv4 } from "@l3dsr/packet";

/** The first IPv4 address of a name; undefined when it has none, or nobody answers. */
export async function ipv4AddressOf(name: string): Promise<Address | undefined> {
	const { lookup } = await import("node:dns/promises");
	try {
		return parseIpv4((await lookup(name, { family: 4 })).address);
	} catch {
		return undefined;
	}
}
