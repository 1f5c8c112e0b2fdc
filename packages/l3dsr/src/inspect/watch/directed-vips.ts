/**
 * Which VIP a packet was for that a director has sent to a real server. The real server's address and the code tell it,
 * unless VIPs share a code there; then protocol and port tell it. Pure.
 */
import { type Address, addressFromBytes, type ParsedPacket, quoteOf, wordAt } from "@l3dsr/packet";
import type { CurrentService } from "../../balance/tables/state.ts";

/** A service's VIP, as a real server sees it. */
type Directed = Pick<CurrentService, "address" | "protocol" | "port">;

export class DirectedVips {
	readonly #byReal = new Map<string, { readonly code: number; readonly services: Directed[] }>();

	constructor(services: readonly CurrentService[] = []) {
		for (const { reals, ...service } of services) {
			for (const { entry } of reals) {
				const key = keyOf(entry.address, entry.dscp);
				const known = this.#byReal.get(key) ?? { code: entry.dscp, services: [] };
				known.services.push(service);
				this.#byReal.set(key, known);
			}
		}
	}

	/** The codes of one VIP, or of all. */
	codes(vip: Address | undefined): number[] {
		return [...this.#byReal.values()].flatMap(({ code, services }) =>
			vip === undefined || services.some(({ address }) => address.text === vip.text) ? [code] : [],
		);
	}

	/**
	 * `unknown`: no VIP has this code there. `several`: VIPs share the code, and the packet does not tell which it was for.
	 */
	find(packet: ParsedPacket, bytes: Uint8Array, code: number): Address | "unknown" | "several" {
		const services = this.#byReal.get(keyOf(addressFromBytes(packet.destination), code))?.services ?? [];
		const [first, ...others] = services.map(({ address }) => address);
		if (first === undefined) return "unknown";
		if (others.every(({ text }) => text === first.text)) return first;
		return byPort(services, packet, bytes) ?? quotedSource(services, packet, bytes) ?? "several";
	}
}

function keyOf(real: Address, code: number): string {
	return `${real.text} ${code}`;
}

function byPort(
	services: readonly Directed[],
	{ transport }: ParsedPacket,
	bytes: Uint8Array,
): Address | undefined {
	if (transport?.portsPresent !== true) return undefined;
	const own = services.filter(({ protocol }) => protocol === transport.protocol);
	const at = transport.offset + 2;
	if (at + 2 > bytes.length) return undefined;
	const port = wordAt(bytes, at);
	return (own.find((one) => one.port === port) ?? own.find((one) => one.port === 0))?.address;
}

/** An ICMP error quotes a packet that came from the VIP. */
function quotedSource(
	services: readonly Directed[],
	packet: ParsedPacket,
	bytes: Uint8Array,
): Address | undefined {
	const quote = quoteOf(bytes, packet);
	if (quote === undefined) return undefined;
	const { text } = addressFromBytes(quote.source);
	return services.find(({ address }) => address.text === text)?.address;
}
