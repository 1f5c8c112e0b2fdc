/** Interfaces that a configuration names and a host does not have. */
import type { InterfaceName } from "./interface-name.ts";
import type { Service } from "./service.ts";

export interface NamedInterface {
	readonly name: string;
	/** Other names of it (`ip link property add`). */
	readonly alternativeNames: readonly string[];
}

/** What names interfaces. */
export interface Named {
	readonly interfaces?: readonly InterfaceName[];
	readonly services: readonly Service[];
}

/** Names that the configuration uses and no interface has, each once; `eth+` may wait for its first. */
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
