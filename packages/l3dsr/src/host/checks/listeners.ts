/**
 * A VIP without a server answers with resets. Only TCP and UDP sockets are known (facts.ts); other
 * protocols, such as ICMP and GRE, are handled by the kernel or unknown.
 */
import { isUnspecified, PROTOCOL_NUMBER, sameAddress } from "@l3dsr/packet";
import type { Service } from "../../model/service.ts";
import type { Listener } from "../facts.ts";
import { type Check, type CheckFinding, type CheckInput, listed, titleOf } from "./check.ts";

export const checkListeners: Check = ({ configuration, facts }) =>
	configuration.services.flatMap((service): CheckFinding[] => {
		const wanted = wantedPorts(service);
		const able = facts.listeners.filter((one) => accepts(one, service));
		const deaf = wanted.filter(
			({ protocols, first, last }) =>
				!able.some(({ protocol, port }) => protocols.includes(protocol) && first <= port && port <= last),
		);
		if (deaf.length === 0) return [];
		const what = deaf.some(({ last }) => last === ANY_PORT.last) ? "" : ` ${listed(portTexts(deaf))}`;
		return [
			{
				check: "listeners",
				severity: "warning",
				message: `nothing listens on ${titleOf(service)}${what}: clients are refused${facts.redirects.length > 0 ? ", unless a NAT rule redirects them" : ""}`,
				remedy: remedyFor(deaf),
			},
		];
	});

/**
 * With TCP, the answer has the address of the connection. With UDP, a server on all addresses that does not
 * use the address of each datagram (IP_PKTINFO) answers from the host's own address.
 */
function remedyFor(deaf: readonly WantedPort[]): string {
	const heard = (name: string): boolean => deaf.some(({ protocols }) => protocols.includes(name));
	if (!heard("udp")) return "start the server; it must listen on the VIP or on all addresses";
	const tcp = heard("tcp") ? "; for TCP, all addresses work too" : "";
	return `start the server; it must listen on the VIP itself${tcp}`;
}

/** UDP servers of services that listen on all addresses: the host cannot see from which address they answer. */
export function undecidedUdpServers({ configuration, facts }: CheckInput): Service[] {
	return configuration.services.filter((service) =>
		wantedPorts(service).some(({ protocols, first, last }) => {
			if (!protocols.includes("udp") || last === ANY_PORT.last) return false;
			const servers = facts.listeners.filter(
				(one) => one.protocol === "udp" && first <= one.port && one.port <= last && accepts(one, service),
			);
			return servers.length > 0 && servers.every(({ address }) => isUnspecified(address));
		}),
	);
}

/** `port 80`, or `udp port 53` where the service names more than one protocol. */
function portTexts(deaf: readonly WantedPort[]): string[] {
	return deaf.map(({ first, last, protocols, named }) => {
		const numbers = first === last ? String(first) : `${first}-${last}`;
		return named ? `${protocols.join(" and ")} port ${numbers}` : `port ${numbers}`;
	});
}

function accepts({ address, ipv6Only }: Listener, { vip }: Service): boolean {
	if (sameAddress(address, vip)) return true;
	const any = isUnspecified(address);
	return any && (address.family === vip.family || (address.family === "ipv6" && ipv6Only !== true));
}

interface WantedPort {
	readonly first: number;
	readonly last: number;
	/** One is enough. */
	readonly protocols: readonly string[];
	/** The service names several, and each needs a listener. */
	readonly named: boolean;
}

const ANY_PORT = { first: 0, last: 65535 } as const;

/** Where the packets arrive once rewritten; each needs a listener. */
function wantedPorts({ selection, setPort }: Service): WantedPort[] {
	const ranges = (setPort === undefined ? selection?.ports : [{ first: setPort, last: setPort }]) ?? [
		ANY_PORT,
	];
	const numbers = selection?.protocols;
	const heard = (["tcp", "udp"] as const).filter(
		(name) => numbers === undefined || numbers.includes(PROTOCOL_NUMBER[name]),
	);
	if (heard.length === 0) return [];
	// A service without a protocol or port hardly means all of them.
	const each = numbers !== undefined && selection?.ports !== undefined;
	const groups = each ? heard.map((one) => [one]) : [heard];
	return ranges.flatMap(({ first, last }) =>
		groups.map((protocols) => ({ first, last, protocols, named: groups.length > 1 })),
	);
}
