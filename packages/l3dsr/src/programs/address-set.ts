/** Tests whether an address is in one of a few prefixes. */
import type { Label, Place, ProgramBuilder } from "@l3dsr/bpf";
import { maskBytes, type Prefix } from "@l3dsr/packet";

/** Jumps to `miss` unless the address is in one of the prefixes. */
export function emitUnlessIn(
	p: ProgramBuilder,
	address: Place,
	prefixes: readonly Prefix[],
	miss: Label,
): void {
	const found = p.label("found");
	const last = prefixes.at(-1);
	emitIfIn(p, address, prefixes.slice(0, -1), found);
	if (last === undefined) p.goto(miss);
	else emitUnlessPrefix(p, address, last, miss);
	p.place(found);
}

/** Jumps to `hit` if the address is in one of the prefixes. */
export function emitIfIn(p: ProgramBuilder, address: Place, prefixes: readonly Prefix[], hit: Label): void {
	for (const prefix of prefixes) {
		const other = p.label("other");
		emitUnlessPrefix(p, address, prefix, other);
		p.goto(hit);
		p.place(other);
	}
}

function emitUnlessPrefix(
	p: ProgramBuilder,
	address: Place,
	{ address: of, length }: Prefix,
	miss: Label,
): void {
	p.gotoUnlessBytes(address, Uint8Array.from(of.bytes), miss, Uint8Array.from(maskBytes(of.family, length)));
}
