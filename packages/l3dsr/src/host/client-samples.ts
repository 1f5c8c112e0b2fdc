/** Sample clients that represent all: for each route to clients, an address that takes exactly this route. Pure. */
import {
	type Address,
	addressBits,
	addressFromBytes,
	type Family,
	type Prefix,
	prefixContains,
	prefixText,
} from "@l3dsr/packet";

/** A route to clients. */
export interface ClientRoute {
	readonly destination: Prefix;
	/** Whether they are behind a router. */
	readonly byGateway: boolean;
}

export interface ClientSample {
	readonly address: Address;
	/** All addresses that take this route, except those of longer prefixes. */
	readonly prefix: Prefix;
	/** `internet`: a default route or one of its halves; `network`: behind a router; `link`: in a connected subnet. */
	readonly reach: "internet" | "network" | "link";
}

/**
 * A full Internet routing table has a million routes: only as many are sampled as an operator would want to read
 * about.
 */
const MOST_SAMPLES = 32;
/** A prefix of at most this length is a share of the whole Internet. */
const INTERNET_BITS: Readonly<Record<Family, number>> = { ipv4: 7, ipv6: 15 };

const EVERYBODY: Readonly<Record<Family, Prefix>> = {
	ipv4: { address: addressFromBytes(new Uint8Array(4)), length: 0 },
	ipv6: { address: addressFromBytes(new Uint8Array(16)), length: 0 },
};

/**
 * The widest first; one represents all clients that no other route leads to, whether or not they have a
 * route. A route whose addresses are all covered by longer ones has no sample.
 */
export function clientSamples(
	family: Family,
	routes: readonly ClientRoute[],
	own: readonly Address[],
): ClientSample[] {
	const ofFamily = routes.filter(({ destination }) => destination.address.family === family);
	const everybody: ClientRoute = { destination: EVERYBODY[family], byGateway: true };
	const byText = new Map([everybody, ...ofFamily].map((route) => [prefixText(route.destination), route]));
	const distinct = [...byText.values()].sort((a, b) => a.destination.length - b.destination.length);
	const taken = new Set(own.map(({ text }) => text));
	const samples: ClientSample[] = [];
	for (const { destination, byGateway } of distinct) {
		if (samples.length === MOST_SAMPLES) break;
		const longer = distinct.filter((one) => one.destination.length > destination.length);
		const address = candidates(destination).find(
			(one) =>
				one.family === family &&
				isClient(one) &&
				!taken.has(one.text) &&
				prefixContains(destination, one) &&
				!longer.some((other) => prefixContains(other.destination, one)),
		);
		if (address === undefined) continue;
		const wide = destination.length <= INTERNET_BITS[family];
		samples.push({ address, prefix: destination, reach: wide ? "internet" : byGateway ? "network" : "link" });
	}
	return samples;
}

/** The host part of the addresses to try: never a network or broadcast address. */
const HOST_PARTS = [7, 1, 2, 3, 77, 130, 200, 5, 6, 9, 10, 20, 50, 100];
/** Spread over the first 32 bits, for wide prefixes. */
const SPREAD = Array.from({ length: 64 }, (_, index) => (0x2545f491 * (index + 1)) >>> 0);

/** Internet clients from the documentation ranges (RFC 5737, 3849). */
const EXAMPLES = [
	[203, 0, 113, 7],
	[198, 51, 100, 7],
	[0x20, 1, 0xd, 0xb8, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
].map(addressFromBytes);

function candidates({ address, length }: Prefix): Address[] {
	const bits = addressBits(address.family);
	if (length === bits) return [address];
	const near = HOST_PARTS.map((part) => withLastByte(address, part));
	if (length > INTERNET_BITS[address.family]) {
		// First some at its beginning, then some spread over it.
		return [...near, ...SPREAD.map((value) => spread(address, length, value))];
	}
	return [...EXAMPLES, ...SPREAD.map((value) => spread(address, length, value))];
}

function withLastByte({ bytes }: Address, part: number): Address {
	const changed = Uint8Array.from(bytes);
	changed[changed.length - 1] = (changed[changed.length - 1] ?? 0) | part;
	return addressFromBytes(changed);
}

/** The prefix, then bits of `value`, and a 7 at the end. */
function spread({ bytes, family }: Address, length: number, value: number): Address {
	const changed = Uint8Array.from(bytes);
	// IPv6 has its global unicast addresses in 2000::/3.
	if (family === "ipv6" && length < 3) changed[0] = 0x20 | (value >>> 29);
	for (let bit = Math.max(length, family === "ipv6" ? 3 : 0); bit < 32; bit++) {
		const byte = bit >> 3;
		const mask = 0x80 >> (bit & 7);
		const set = ((value >>> (31 - bit)) & 1) === 1;
		changed[byte] = set ? (changed[byte] ?? 0) | mask : (changed[byte] ?? 0) & ~mask;
	}
	const last = changed.length - 1;
	if (length <= last * 8) changed[last] = 7;
	return addressFromBytes(changed);
}

/** Whether a client can have it: unicast, and not only valid on this host. */
function isClient({ family, bytes }: Address): boolean {
	const [first = 0, second = 0] = bytes;
	const last = bytes.at(-1) ?? 0;
	if (family === "ipv6") return first !== 0 && first < 0xfe;
	return (
		first !== 0 &&
		first !== 127 &&
		first < 224 &&
		!(first === 169 && second === 254) &&
		last !== 0 &&
		last !== 255
	);
}
