/** The addresses of `lo`: which of them are VIPs, and the steps from one set of addresses to another. Pure. */
import { type Address, addressBits } from "@l3dsr/packet";

/** An address on `lo`. */
export interface LoopbackAddress {
	readonly address: Address;
	readonly prefixLength: number;
	/** IPv4 only: `lo:1`, or `lo` if no label was given. */
	readonly label?: string;
	/** Added by `l3dsr up`. */
	readonly own?: true;
}

export type LoopbackStep =
	| { readonly kind: "add-address"; readonly entry: LoopbackAddress }
	| { readonly kind: "remove-address"; readonly entry: LoopbackAddress }
	/**
	 * IPv6, which has an address only once whatever its prefix: it is removed and added again, and missing for an
	 * instant.
	 */
	| { readonly kind: "resize"; readonly entry: LoopbackAddress; readonly prefixLength: number };

/** 127.0.0.1/8 and ::1/128, which every host has and which must never be removed. */
export function isStandardLoopback({ address, prefixLength }: LoopbackAddress): boolean {
	return address.text === "::1" || (address.text === "127.0.0.1" && prefixLength === 8);
}

/**
 * The VIP on `lo`, with a prefix that covers no other address. IPv4 gets the lowest free label from `lo:1`, so that
 * ifconfig shows it; IPv6 has no labels.
 */
export function vipOnLoopback(vip: Address, labels: FreeLabels): LoopbackAddress {
	const bare = { address: vip, prefixLength: addressBits(vip.family) };
	return vip.family === "ipv6" ? bare : { ...bare, label: labels.take() };
}

/** Assigns labels `lo:1`, `lo:2`, … that no address has. */
export class FreeLabels {
	readonly #taken: ReadonlySet<string | undefined>;
	#last = 0;

	constructor(present: readonly LoopbackAddress[]) {
		this.#taken = new Set(present.map(({ label }) => label));
	}

	/** Takes the lowest free label. */
	take(): string {
		do this.#last++;
		while (this.#taken.has(`lo:${this.#last}`));
		return `lo:${this.#last}`;
	}
}

/** Returns the first entry of `lo` for an address, with any prefix length. */
export function loopbackEntries<A extends LoopbackAddress>(
	present: readonly A[],
): (vip: Address) => A | undefined {
	const byAddress = new Map<string, A>();
	for (const entry of present) {
		if (!byAddress.has(entry.address.text)) byAddress.set(entry.address.text, entry);
	}
	return ({ text }) => byAddress.get(text);
}

/**
 * Steps to make before packets are rewritten to the new addresses, and steps to make once none are rewritten to the
 * old ones.
 */
export interface LoopbackPlan {
	readonly before: readonly LoopbackStep[];
	readonly after: readonly LoopbackStep[];
}

/** The steps from `observed` to `desired`. */
export function planLoopback(
	observed: readonly LoopbackAddress[],
	desired: readonly LoopbackAddress[],
): LoopbackPlan {
	const added: LoopbackStep[] = [];
	const remade: LoopbackStep[] = [];
	const current = new Map(observed.map((one) => [entryKey(one), one]));
	const wanted = new Set(desired.map(entryKey));
	const [currentAt, wantedAt] = [Map.groupBy(observed, addressOf), Map.groupBy(desired, addressOf)];
	for (const entry of desired) {
		const old = current.get(entryKey(entry));
		const other =
			old === undefined ? currentAt.get(addressOf(entry))?.find((one) => isResized(one, entry)) : undefined;
		if (other !== undefined) remade.push({ kind: "resize", entry: other, prefixLength: entry.prefixLength });
		else if (old === undefined) added.push({ kind: "add-address", entry });
	}
	// Last one first: removing the first address of a subnet also removes its later (secondary) ones.
	const after = observed
		.filter(
			(entry) =>
				!wanted.has(entryKey(entry)) &&
				wantedAt.get(addressOf(entry))?.some((one) => isResized(entry, one)) !== true,
		)
		.map((entry): LoopbackStep => ({ kind: "remove-address", entry }))
		.reverse();
	return { before: [...added, ...remade], after };
}

/** The same IPv6 address with another prefix length. */
function isResized(a: LoopbackAddress, b: LoopbackAddress): boolean {
	return a.address.family === "ipv6" && a.prefixLength !== b.prefixLength;
}

function addressOf({ address }: LoopbackAddress): string {
	return address.text;
}

/** The kernel may have an IPv4 address once for each prefix length. */
function entryKey({ address, prefixLength }: LoopbackAddress): string {
	return `${address.text}/${prefixLength}`;
}
