/**
 * The addresses that this network namespace accepts as its own: its routes of type "local" (`ip route show
 * type local`). The kernel adds those of an IPv6 address some time after the address: usually at once, a
 * moment later under load, and a second later with duplicate address detection. So the addresses themselves
 * count too, and nothing has to be redone when the route appears.
 */

import { listAddresses, listInterfaces, listLocalRoutes } from "@l3dsr/linux";
import { addressFromBytes, type Prefix, prefixOf, prefixText } from "@l3dsr/packet";
import { hostPrefix } from "../model/selection.ts";

/** The prefixes of both families, each once. Throws L3dsrError (KERNEL_*). */
export function localPrefixes(): readonly Prefix[] {
	const routes = listLocalRoutes().map(({ bytes, length }) => prefixOf(addressFromBytes(bytes), length));
	const coming = listAddresses()
		.filter(({ bytes, duplicate }) => bytes.length === 16 && !duplicate)
		.map(({ bytes }) => hostPrefix(addressFromBytes(bytes)));
	return [...new Map([...routes, ...coming].map((prefix) => [prefixText(prefix), prefix])).values()];
}

/** The addresses of bridges, by the name of the bridge. Throws LinuxError. */
export function bridgePrefixes(): ReadonlyMap<string, readonly Prefix[]> {
	const held = Map.groupBy(listAddresses(), ({ index }) => index);
	return new Map(
		listInterfaces()
			.filter(({ kind }) => kind === "bridge")
			.map(({ index, name }) => [
				name,
				(held.get(index) ?? []).map(({ bytes }) => hostPrefix(addressFromBytes(bytes))),
			]),
	);
}
