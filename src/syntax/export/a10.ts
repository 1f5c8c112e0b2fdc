/**
 * A10 Thunder and AX (ACOS). Syntax: A10's "Application Delivery and Server Load Balancing Guide", DSCP marking by
 * a real port template for Layer-3 DSR; `no-dest-nat` keeps the source, and port translation away.
 */
import {
	addressName,
	type Listener,
	listenersOf,
	type Printed,
	realsInUse,
	type VipTable,
} from "./vip-table.ts";

/** Port 0 stands for all ports. */
const ALL_PORTS = 0;

interface Port {
	readonly port: number;
	readonly protocol: "tcp" | "udp";
}

export function printA10(table: VipTable): Printed {
	const { listeners, left } = listenersOf(table, { families: ["ipv4", "ipv6"] });
	const codes = [...new Set(listeners.map(({ dscp }) => dscp))];
	const blocks = [
		...codes.map((dscp) => [`slb template port dscp-${dscp}`, `  dscp ${dscp}`]),
		...realsInUse(listeners).map((real) => [
			`slb server rs-${addressName(real)} ${real.text}`,
			...uniquePorts(listeners.filter(({ reals }) => reals.includes(real))).map(
				({ port, protocol }) => `  port ${port} ${protocol}`,
			),
		]),
		...listeners.flatMap((listener) =>
			portsOf(listener).map(({ port, protocol }) => [
				`slb service-group ${groupName(listener, { port, protocol })} ${protocol}`,
				`  template port dscp-${listener.dscp}`,
				...listener.reals.map((real) => `  member rs-${addressName(real)} ${port}`),
			]),
		),
		...virtualServers(listeners),
	];
	return { text: blocks.map((block) => `${block.join("\n")}\n!\n`).join(""), left };
}

function virtualServers(listeners: readonly Listener[]): string[][] {
	const vips = new Map(listeners.map(({ vip }) => [vip.text, vip]));
	return [...vips.values()].map((vip) => [
		`slb virtual-server vip-${addressName(vip)} ${vip.text}`,
		...listeners
			.filter((one) => one.vip.text === vip.text)
			.flatMap((listener) =>
				portsOf(listener).flatMap((port) => [
					`  port ${port.port} ${port.protocol}`,
					`    service-group ${groupName(listener, port)}`,
					"    no-dest-nat",
				]),
			),
	]);
}

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
