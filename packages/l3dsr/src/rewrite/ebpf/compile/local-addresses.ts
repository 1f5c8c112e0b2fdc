/**
 * `addrtype LOCAL`: is the destination one of this host's own addresses? A few are compared one by one; a
 * host with many VIPs holds as many, and those are one lookup.
 */
import { BPF_MAP_FLAG, type Label, type MapSpec } from "@l3dsr/bpf";
import { addressBits, type Family, type Prefix } from "@l3dsr/packet";
import { emitIfIn, emitUnlessIn } from "../../../programs/address-set.ts";
import type { Packet } from "./frame.ts";
import { MAP } from "./identity.ts";

/** Single addresses beyond which a lookup is cheaper than comparing. */
const MOST_COMPARED = 4;

/** Whether `emitLocal` calls the kernel, so that r0-r5 are lost. */
export function isLookup({ family, local }: Pick<Packet, "family" | "local">): boolean {
	return singleAddresses(family, local).length > MOST_COMPARED;
}

/** Falls through when the packet's destination, as it arrived, is one of this host's, else goes to `miss`. */
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

/** The prefixes that `emitLocal` compares with: the rest are in the map. */
export function comparedPrefixes({ family, local }: Pick<Packet, "family" | "local">): readonly Prefix[] {
	if (!isLookup({ family, local })) return local;
	const single = new Set(singleAddresses(family, local));
	return local.filter((prefix) => !single.has(prefix));
}

/** What `emitLocal` looks addresses up in. */
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
