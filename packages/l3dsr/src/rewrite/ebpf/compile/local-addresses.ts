/**
 * `addrtype LOCAL`: is the destination one of this host's own addresses? A few are compared one by one; many, as on a
 * host with many VIPs, are looked up in a map.
 */
import { BPF_MAP_FLAG, type Label, type MapSpec } from "@l3dsr/bpf";
import { addressBits, type Family, type Prefix } from "@l3dsr/packet";
import { emitIfIn, emitUnlessIn } from "../../../programs/address-set.ts";
import type { Packet } from "./frame.ts";
import { MAP } from "./identity.ts";

/** With more single addresses than this, a lookup is cheaper than comparisons. */
const MOST_COMPARED = 4;

/** True if `emitLocal` calls the kernel, so that r0-r5 are lost. */
export function isLookup({ family, local }: Pick<Packet, "family" | "local">): boolean {
	return singleAddresses(family, local).length > MOST_COMPARED;
}

/** Falls through if the packet's original destination is one of this host's addresses, else jumps to `miss`. */
export function emitLocal(packet: Packet, miss: Label): void {
	const { p, destination, family, local, maps } = packet;
	p.comment("destination is this host's");
	if (!isLookup(packet)) {
		emitUnlessIn(p, destination, local, miss);
		return;
	}
	const found = p.label("local");
	emitIfIn(p, destination, comparedPrefixes({ family, local }), found);
	{
		using _entry = p.lookup(maps.local, destination, miss, "local address");
	}
	p.place(found);
}

/** The prefixes that `emitLocal` compares with; the others are in the map. */
export function comparedPrefixes({ family, local }: Pick<Packet, "family" | "local">): readonly Prefix[] {
	if (!isLookup({ family, local })) return local;
	const single = new Set(singleAddresses(family, local));
	return local.filter((prefix) => !single.has(prefix));
}

/** The map in which `emitLocal` looks addresses up. */
export function localMap(family: Family, local: readonly Prefix[]): MapSpec {
	const single = singleAddresses(family, local);
	return {
		name: MAP.local[family],
		type: "BPF_MAP_TYPE_HASH",
		keySize: addressBits(family) / 8,
		valueSize: 4,
		maxEntries: Math.max(1, single.length),
		flags: BPF_MAP_FLAG.BPF_F_RDONLY_PROG,
		contents: single.map(({ address }) => ({
			key: Uint8Array.from(address.bytes),
			value: Uint8Array.of(1, 0, 0, 0),
		})),
		frozen: true,
	};
}

function singleAddresses(family: Family, local: readonly Prefix[]): Prefix[] {
	return local.filter(({ address, length }) => address.family === family && length === addressBits(family));
}
