/**
 * A10 Thunder and AX (ACOS). Syntax: A10's "Application Delivery and Server Load Balancing Guide", with DSCP marking
 * by a real port template for Layer-3 DSR; `no-dest-nat` preserves the source and prevents port translation.
 */
import { addressName, directorPrinter, type Listener, listenersByVip, withBangs } from "./director.ts";

/** Port 0 means all ports. */
const ALL_PORTS = 0;

interface Port {
	readonly port: number;
	readonly protocol: "tcp" | "udp";
}

export const printA10 = directorPrinter({ families: ["ipv4", "ipv6"] }, (listeners, reals) => {
	const codes = [...new Set(listeners.map(({ dscp }) => dscp))];
	return withBangs([
		...codes.map((dscp) => [`slb template port dscp-${dscp}`, `  dscp ${dscp}`]),
		...reals.map((real) => [
			`slb server rs-${addressName(real)} ${real.text}`,
			...uniquePorts(listeners.filter((one) => one.reals.includes(real))).map(
				({ port, protocol }) => `  port ${port} ${protocol}`,
			),
		]),
		...listeners.flatMap((listener) =>
			portsOf(listener).map((port) => [
				`slb service-group ${groupName(listener, port)} ${port.protocol}`,
				`  template port dscp-${listener.dscp}`,
				...listener.reals.map((real) => `  member rs-${addressName(real)} ${port.port}`),
			]),
		),
		...listenersByVip(listeners).map(({ vip, own }) => [
			`slb virtual-server vip-${addressName(vip)} ${vip.text}`,
			...own.flatMap((listener) =>
				portsOf(listener).flatMap((port) => [
					`  port ${port.port} ${port.protocol}`,
					`    service-group ${groupName(listener, port)}`,
					"    no-dest-nat",
				]),
			),
		]),
	]);
});

function portsOf({ protocol, port }: Listener): Port[] {
	if (protocol !== undefined && port !== undefined) return [{ port, protocol }];
	return [
		{ port: ALL_PORTS, protocol: "tcp" },
		{ port: ALL_PORTS, protocol: "udp" },
	];
}

function uniquePorts(listeners: readonly Listener[]): Port[] {
	const ports = listeners.flatMap(portsOf);
	return [...new Map(ports.map((one) => [`${one.port} ${one.protocol}`, one])).values()];
}

function groupName({ vip }: Listener, { port, protocol }: Port): string {
	return `sg-${addressName(vip)}-${protocol}-${port}`;
}
