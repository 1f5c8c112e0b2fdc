/** The hash of a flow and its slot in a ring. */
import { type MapSpec, type Value, view } from "@l3dsr/bpf";
import { MIX, MIX_SHIFTS } from "../hash.ts";
import { RING_SLOTS } from "../ring.ts";
import { HEADER_BYTES, type Packet, RING_SLOT, VIP_ENTRY } from "./frame.ts";

/** `mix64` of ../hash.ts. */
export function emitMix({ p }: Pick<Packet, "p">, hash: Value): void {
	const [first, second, last] = MIX_SHIFTS;
	const fold = (bits: number) => {
		using shifted = p.copy(hash, "shifted").rsh(bits);
		hash.xor(shifted);
	};
	fold(first);
	hash.mul(MIX[0]);
	fold(second);
	hash.mul(MIX[1]);
	fold(last);
}

/** Offset of the flow's slot in both rings. */
export function slotOf({ p, options, hash, vip, leave }: Packet): Value {
	const slot = p.copy(hash, "slot").rsh(32);
	slot.mul(RING_SLOTS).rsh(32).lsh(1);
	{
		using ring = p.load(view(vip, VIP_ENTRY).ring);
		slot.add(ring);
	}
	p.gotoIf(slot, ">", options.rings * RING_SLOTS * 2 - 2, leave("no-real"));
	return slot;
}

export function loadSlot({ p }: Packet, map: MapSpec, slot: Value, into: Value): void {
	using at = p.mapValue(map, HEADER_BYTES);
	at.add(slot);
	p.load(view(at, RING_SLOT).real, { into });
}
