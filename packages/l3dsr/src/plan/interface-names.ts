/** Replaces the interface names in a configuration by the names that packets are matched by. Pure. */

import type { Named, NamedInterface } from "../model/absent-interfaces.ts";
import type { InterfaceName } from "../model/interface-name.ts";
import { signatureOf } from "../model/lower-service.ts";
import type { Rule } from "../model/rule.ts";

/**
 * The same configuration with each alternative name replaced by the interface's own name, the only one that rules can
 * match.
 */
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

/**
 * Services whose rules work now, but would be replaced by rules for interfaces that do not exist, as after a typing
 * error. If no rule works yet, as at boot, rules may wait for their interface.
 */
export function silencedServices(
	running: readonly Rule[],
	desired: readonly Rule[],
	absent: readonly string[],
): readonly string[] {
	if (absent.length === 0) return [];
	const missing = new Set(absent);
	const before = bySignature(running);
	return [...bySignature(desired)].flatMap(([name, rules]) => {
		const wanted = new Set(rules.map(interfaceOf));
		const old = (before.get(name) ?? []).map(interfaceOf);
		const waits = [...wanted].filter((one) => one !== undefined && missing.has(one));
		const lost = old.some((one) => !wanted.has(one) && (one === undefined || !missing.has(one)));
		const renamed = waits.length === wanted.size || waits.some((one) => !old.includes(one));
		return waits.length > 0 && lost && renamed ? [name] : [];
	});
}

function bySignature(rules: readonly Rule[]): ReadonlyMap<string, readonly Rule[]> {
	const signed = rules.flatMap((rule) => {
		const name = signatureOf(rule);
		return name === undefined ? [] : [{ name, rule }];
	});
	return new Map(
		[...Map.groupBy(signed, ({ name }) => name)].map(([name, all]) => [name, all.map(({ rule }) => rule)]),
	);
}

function interfaceOf({ header: { inInterface } }: Rule): string | undefined {
	return inInterface === undefined ? undefined : `${inInterface.name}${inInterface.wildcard ? "+" : ""}`;
}
