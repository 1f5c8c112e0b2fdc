/**
 * Citrix NetScaler (ADC). Syntax: its documentation, "Configure load balancing in DSR mode by using TOS". The value
 * of -tosId is the DSCP, not the TOS byte.
 */
import type { Address } from "@l3dsr/packet";
import { addressName, directorPrinter, type Listener } from "./director.ts";

const LIMITS = { families: ["ipv4", "ipv6"], zeroWhy: "NetScaler's -tosId is 1-63" } as const;

export const printNetscaler = directorPrinter(LIMITS, (listeners, reals) => [
	...reals.map((real) => `add server rs-${addressName(real)} ${real.text}`),
	...listeners.flatMap((listener) =>
		listener.reals.map(
			(real) =>
				`add service ${serviceName(listener, real)} rs-${addressName(real)} ${typeOf(listener)} -usip YES -useproxyport NO`,
		),
	),
	...listeners.map(
		(listener) =>
			`add lb vserver ${serverName(listener)} ${typeOf(listener, listener.vip.text)} -m TOS -tosId ${listener.dscp}`,
	),
	...listeners.flatMap((listener) =>
		listener.reals.map((real) => `bind lb vserver ${serverName(listener)} ${serviceName(listener, real)}`),
	),
]);

/** `TCP 80`, `ANY *`; with the address in between for commands that need it there. */
function typeOf({ protocol, port }: Listener, address?: string): string {
	const [type, place] = protocol === undefined ? ["ANY", "*"] : [protocol.toUpperCase(), String(port)];
	return address === undefined ? `${type} ${place}` : `${type} ${address} ${place}`;
}

function serverName(listener: Listener): string {
	return `vip-${addressName(listener.vip)}${suffix(listener)}`;
}

function serviceName(listener: Listener, real: Address): string {
	return `svc-${addressName(listener.vip)}${suffix(listener)}-${addressName(real)}`;
}

function suffix({ protocol, port }: Listener): string {
	return protocol === undefined ? "" : `-${protocol}-${port}`;
}
