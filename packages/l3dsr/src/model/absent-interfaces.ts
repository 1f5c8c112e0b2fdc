/** Interfaces that a configuration names but a host does not have. */
import type { InterfaceName } from "./interface-name.ts";
import type { Service } from "./service.ts";

export interface NamedInterface {
	readonly name: string;
	/** Its alternative names (`ip link property add`). */
	readonly alternativeNames: readonly string[];
}

/** A configuration that names interfaces. */
export interface Named {
	readonly interfaces?: readonly InterfaceName[];
	readonly services: readonly Service[];
}

/** Names in the configuration that no interface has, each once; `eth+` may wait for its first interface. */
export function absentInterfaces(
	{ interfaces = [], services }: Named,
	present: readonly NamedInterface[],
): readonly string[] {
	const named = [...interfaces, ...services.flatMap(({ selection }) => selection?.interfaces ?? [])];
	const there = new Set(present.flatMap(({ name, alternativeNames }) => [name, ...alternativeNames]));
	return [
		...new Set(named.filter(({ name, wildcard }) => !wildcard && !there.has(name)).map(({ name }) => name)),
	];
}
