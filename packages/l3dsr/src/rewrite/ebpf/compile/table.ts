/**
 * The read-only map of a program: a table, by DSCP, of the DSCPs with one rule, and the rules as text. User space
 * reads the text, which it finds by the header; the program reads the tables.
 */

import { BPF_MAP_FLAG, type MapSpec, type Place, type Placement, struct, type Value, view } from "@l3dsr/bpf";
import { complementOfSum, DSCP_COUNT, type Family } from "@l3dsr/packet";
import { encodeSteps, STEPS_BYTES } from "../../../programs/extension-headers.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Packet } from "./frame.ts";
import { MAP, RULES_LAYOUT } from "./identity.ts";
import { encodeInterfaceRules, type InterfaceRules, SCHEMA_VERSION } from "./interface-rules.ts";
import type { NewAddress } from "./rewrite-address.ts";

/** Sizes are powers of two, so that a shift finds an entry. */
const ENTRY = {
	ipv4: struct("entry", { address: { bytes: 4 }, slot: "u32" }),
	/** `complement`: complement of the ones' complement sum of the address, in 32 bits. */
	ipv6: struct("entry", { address: { bytes: 16 }, complement: "u32", slot: "u32", _pad: { bytes: 8 } }),
} as const;

const TABLE_OFFSET: Readonly<Record<Family, number>> = {
	ipv4: RULES_LAYOUT.tablesOffset,
	ipv6: RULES_LAYOUT.tablesOffset + DSCP_COUNT * ENTRY.ipv4.bytes,
};
/** Which extension headers are walked over (programs/extension-headers.ts). */
export const EXTENSIONS_OFFSET = TABLE_OFFSET.ipv6 + DSCP_COUNT * ENTRY.ipv6.bytes;
const TEXT_OFFSET = EXTENSIONS_OFFSET + STEPS_BYTES;

/** An entry of the table: the new address and the counter's slot. */
export interface Entry {
	readonly to: NewAddress;
	readonly slot: Place;
}

/** Finds the entry of `dscp`, which is gone afterwards. */
export function findEntry({ p, family, maps }: Packet, dscp: Value, placement?: Placement): Entry {
	const pointer = p.mapValue(maps.rules, TABLE_OFFSET[family], placement);
	{
		using offset = dscp;
		pointer.add(offset.lsh(Math.log2(ENTRY[family].bytes)));
	}
	if (family === "ipv4") {
		const { address, slot } = view(pointer, ENTRY.ipv4);
		return { to: { address }, slot };
	}
	const { address, complement, slot } = view(pointer, ENTRY.ipv6);
	return { to: { address, complement }, slot };
}

/** The map for these rules. */
export function rulesMap(rules: InterfaceRules, dispatches: ReadonlyMap<Family, Dispatch>): MapSpec {
	const text = encodeInterfaceRules(rules);
	const { magic, versionOffset, textOffsetOffset, textLengthOffset } = RULES_LAYOUT;
	const value = new Uint8Array(Math.ceil((TEXT_OFFSET + text.length) / 8) * 8);
	const view = new DataView(value.buffer);
	value.set(magic);
	view.setUint32(versionOffset, SCHEMA_VERSION, true);
	view.setUint32(textOffsetOffset, TEXT_OFFSET, true);
	view.setUint32(textLengthOffset, text.length, true);
	for (const [family, { plain, plainLocal }] of dispatches) {
		const { fields, bytes: stride } = ENTRY[family];
		for (const [dscp, { rule, slot }] of [...plain, ...plainLocal]) {
			const at = TABLE_OFFSET[family] + dscp * stride;
			const { bytes: address } = rule.target.daddr;
			value.set(address, at + fields.address.offset);
			view.setUint32(at + fields.slot.offset, slot, true);
			if ("complement" in fields)
				view.setUint32(at + fields.complement.offset, complementOfSum(address), true);
		}
	}
	value.set(encodeSteps(), EXTENSIONS_OFFSET);
	value.set(text, TEXT_OFFSET);
	return {
		name: MAP.rules,
		type: "BPF_MAP_TYPE_ARRAY",
		keySize: 4,
		valueSize: value.length,
		maxEntries: 1,
		flags: BPF_MAP_FLAG.BPF_F_RDONLY_PROG,
		contents: [{ key: new Uint8Array(4), value }],
		frozen: true,
	};
}
