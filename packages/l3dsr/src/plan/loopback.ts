/** The addresses of `lo`: which ones are VIPs, and the steps from one set of them to another. Pure. */
import { type Address, addressBits, sameAddress } from "@l3dsr/packet";

/** An address that `lo` holds. */
export interface LoopbackAddress {
	readonly address: Address;
	readonly prefixLength: number;
	/** IPv4 only: `lo:1`, or `lo` where none was given. */
	readonly label?: string;
}

export type LoopbackStep = { readonly kind: "add" | "remove" } & LoopbackAddress;

/** 127.0.0.1/8 and ::1/128, which every host has and nobody may take away. */
export function isStandardLoopback({ address, prefixLength }: LoopbackAddress): boolean {
	return address.text === "::1" || (address.text === "127.0.0.1" && prefixLength === 8);
}

/**
 * The VIP on `lo`: alone in its prefix, so that `lo` claims no other address. IPv4 gets the lowest free label
 * from `lo:1` on, so that ifconfig shows it too; IPv6 has no labels.
 */
export function vipOnLoopback(vip: Address, present: readonly LoopbackAddress[]): LoopbackAddress {
	const bare = { address: vip, prefixLength: addressBits(vip.family) };
	return vip.family === "ipv6" ? bare : { ...bare, label: lowestFreeLabel(present) };
}

/** The entry of `lo` that holds this address, at whatever prefix length. */
export function findOnLoopback<A extends LoopbackAddress>(
	vip: Address,
	present: readonly A[],
): A | undefined {
	return present.find(({ address }) => sameAddress(address, vip));
}

/** Steps to be made before packets are rewritten to the new addresses, and those that wait until none is any more. */
export interface LoopbackPlan {
	readonly before: readonly LoopbackStep[];
	readonly after: readonly LoopbackStep[];
}

/** From `observed` to `desired`. An address whose label differs is removed and added again. */
export function planLoopback(
	observed: readonly LoopbackAddress[],
	desired: readonly LoopbackAddress[],
): LoopbackPlan {
	const had = new Map(observed.map((entry) => [keyOf(entry), entry]));
	const wanted = new Set(desired.map(keyOf));
	const before: LoopbackStep[] = [];
	for (const entry of desired) {
		const old = had.get(keyOf(entry));
		if (old !== undefined && old.label === entry.label) continue;
		if (old !== undefined) before.push({ kind: "remove", ...old });
		before.push({ kind: "add", ...entry });
	}
	// Last first: removing the first address of a subnet takes the later (secondary) ones of it along.
	const after = observed
		.filter((entry) => !wanted.has(keyOf(entry)))
		.map((entry): LoopbackStep => ({ kind: "remove", ...entry }))
		.reverse();
	return { before, after };
}

/** The kernel holds an address once for each prefix length. */
function keyOf({ address, prefixLength }: LoopbackAddress): string {
	return `${address.text}/${prefixLength}`;
}

function lowestFreeLabel(present: readonly LoopbackAddress[]): string {
	const taken = new Set(present.map(({ label }) => label));
	for (let n = 1; ; n++) {
		if (!taken.has(`lo:${n}`)) return `lo:${n}`;
	}
}
