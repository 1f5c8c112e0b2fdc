/** A VIP without a server behind it answers with resets. */
import { PROTOCOL_NUMBER, sameAddress } from "@l3dsr/packet";
import type { Service } from "../../model/service.ts";
import type { Listener } from "../facts.ts";
import { type Check, titleOf } from "./check.ts";

/** Protocols whose sockets are known (facts.ts). Others, such as ICMP and GRE, are the kernel's or cannot be told. */
const HEARD: readonly number[] = [PROTOCOL_NUMBER.tcp, PROTOCOL_NUMBER.udp];

export const checkListeners: Check = ({ configuration, facts }) =>
	configuration.services.flatMap((service) => {
		if (service.selection?.protocols?.every((number) => !HEARD.includes(number)) === true) return [];
		const able = facts.listeners.filter(({ address }) => accepts(address, service));
		const ports = wantedPorts(service);
		const found =
			ports === undefined
				? able.length > 0
				: able.some(({ protocol, port }) =>
						ports.some((one) => one.protocols.includes(protocol) && one.first <= port && port <= one.last),
					);
		if (found) return [];
		const what =
			ports === undefined
				? ""
				: ` port ${ports.map(({ first, last }) => (first === last ? first : `${first}-${last}`)).join(", ")}`;
		return [
			{
				check: "listeners",
				severity: "warning",
				message: `nothing listens on ${titleOf(service)}${what}: clients are refused${facts.redirects ? ", unless a NAT rule sends them elsewhere" : ""}`,
				remedy: "start the server, and let it listen on the VIP or on all addresses",
			},
		];
	});

function accepts(address: Listener["address"], { vip }: Service): boolean {
	if (sameAddress(address, vip)) return true;
	const any = address.bytes.every((byte) => byte === 0);
	// A socket on :: takes IPv4 as well, unless it is told not to, which /proc does not show.
	return any && (address.family === vip.family || address.family === "ipv6");
}

interface WantedPort {
	readonly first: number;
	readonly last: number;
	readonly protocols: readonly string[];
}

/** Where the packets arrive once rewritten; undefined: at any port. */
function wantedPorts({ selection, setPort }: Service): WantedPort[] | undefined {
	const ranges = setPort === undefined ? selection?.ports : [{ first: setPort, last: setPort }];
	const numbers = selection?.protocols ?? [PROTOCOL_NUMBER.tcp, PROTOCOL_NUMBER.udp];
	const protocols = (["tcp", "udp"] as const).filter((name) => numbers.includes(PROTOCOL_NUMBER[name]));
	if (ranges === undefined || protocols.length === 0) return undefined;
	return ranges.map(({ first, last }) => ({ first, last, protocols }));
}
