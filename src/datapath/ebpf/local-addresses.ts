/**
 * `addrtype LOCAL`: is the destination one of this host's own addresses? A few are compared one by one; a
 * host with many VIPs holds as many, and those are one lookup.
 */
import { add, ja, jeq, loadMap, mov } from "../../bpf/asm/index.ts";
import { BPF_MAP_FLAG, type MapSpec } from "../../bpf/spec.ts";
import { addressBits, type Family, type Prefix } from "../../model/address.ts";
import type { Code } from "./code.ts";
import { emitPrefixes } from "./conditions.ts";
import { FP, MAP, STACK } from "./frame.ts";
import { helper } from "./hook.ts";

/** Single addresses beyond which a lookup is cheaper than comparing. */
const MOST_COMPARED = 4;

/** Falls through when the destination in STACK.address is local else goes to `miss`. */
export function emitLocal(
	code: Code,
	{ family, local }: { readonly family: Family; readonly local: readonly Prefix[] },
	miss: string,
): void {
	const comment = "destination is this host's";
	const single = singleAddresses(family, local);
	if (single.length <= MOST_COMPARED) {
		emitPrefixes(code, comment, local, false, FP, STACK.address, miss);
		return;
	}
	const found = code.fresh("local");
	const wider = local.filter((prefix) => !single.includes(prefix));
	if (wider.length > 0) {
		const elsewhere = code.fresh("not_wider");
		emitPrefixes(code, comment, wider, false, FP, STACK.address, elsewhere);
		code.step(comment, ja(found));
		code.label(elsewhere);
	}
	code.step(
		comment,
		loadMap(1, MAP.local[family]),
		mov.reg(2, FP),
		add.imm(2, STACK.address),
		helper("bpf_map_lookup_elem"),
		jeq.imm(0, 0, miss),
	);
	code.label(found);
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
