/** The names that a configuration uses for interfaces, as the names that packets are matched by. Pure. */
import type { InterfaceName, Service } from "../model/service.ts";

export interface NamedInterface {
	readonly name: string;
	/** Other names of it (`ip link property add`). */
	readonly alternativeNames: readonly string[];
}

interface Named {
	readonly interfaces?: readonly InterfaceName[];
	readonly services: readonly Service[];
}

/** The same with each alternative name replaced by the interface's own: rules know no other. */
export function withOwnNames<C extends Named>(configuration: C, present: readonly NamedInterface[]): C {
	const own = new Map(
		present.flatMap(({ name, alternativeNames }) => alternativeNames.map((one) => [one, name] as const)),
	);
	if (own.size === 0) return configuration;
	const rename = (one: InterfaceName): InterfaceName => {
		const name = one.wildcard ? undefined : own.get(one.name);
		return name === undefined ? one : { ...one, name };
	};
	const { interfaces, services } = configuration;
	return {
		...configuration,
		...(interfaces === undefined ? {} : { interfaces: interfaces.map(rename) }),
		services: services.map((service) =>
			service.selection?.interfaces === undefined
				? service
				: {
						...service,
						selection: { ...service.selection, interfaces: service.selection.interfaces.map(rename) },
					},
		),
	};
}
