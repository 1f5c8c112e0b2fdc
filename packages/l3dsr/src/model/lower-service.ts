/** Turns a service into rules: what `up` and `dsrctl` put into the kernel. */
import { PORT_PROTOCOLS, PROTOCOL_NUMBER } from "@l3dsr/packet";
import type { InterfaceName } from "./interface-name.ts";
import {
	type Match,
	type NumberRange,
	PORT_MODULES,
	type PortModule,
	type Rule,
	type RuleHeader,
	type Table,
} from "./rule.ts";
import { selectionsOverlap } from "./selection.ts";
import type { Selection, Service } from "./service.ts";

export interface LoweringOptions {
	/** The rules go to PREROUTING of this table. */
	readonly table: Table;
	/** For services that name no interfaces themselves: one rule each. Absent: one rule for any interface. */
	readonly interfaces?: readonly InterfaceName[];
	/** Match only packets for one of this host's own addresses, so that forwarded traffic is left alone. */
	readonly localOnly: boolean;
	/**
	 * All services of the host. If given, later fragments go to a service with ports where only its VIP is possible;
	 * otherwise they never do.
	 */
	readonly beside?: readonly Service[];
	/** Sign the rules with the service's name, so that `up` and `down` recognise them as their own. */
	readonly signed: boolean;
}

const SIGNATURE = "l3dsr:";
/** xt_multiport holds 15 ports; a range takes two. */
const MULTIPORT_SLOTS = 15;

/** The rules of a service; none for L2DSR. Rules of one service match disjoint packets. */
export function lowerService(service: Service, options: LoweringOptions): Rule[] {
	const { selection } = service;
	if (selection === undefined) return [];
	const interfaces = selection.interfaces ?? options.interfaces ?? [undefined];
	const transports = lowerTransport(selection.protocols, selection.ports);
	const before: Match[] = [];
	if (selection.dscp !== undefined) before.push({ kind: "dscp", negated: false, dscp: selection.dscp });
	if (selection.mark !== undefined) before.push({ kind: "mark", negated: false, ...selection.mark });
	const after: Match[] = [];
	if (options.localOnly) after.push({ kind: "addrtype", negated: false, destinationType: "LOCAL" });
	if (options.signed) after.push({ kind: "comment", text: SIGNATURE + service.name });
	const follows = {
		...(hasFlows(selection) ? { icmpErrors: true } : {}),
		...(options.beside !== undefined && fragmentsFollow(service, options.beside)
			? { laterFragments: true }
			: {}),
	};
	return interfaces.flatMap((inInterface) =>
		transports.map(({ protocol, match }): Rule => {
			const header: RuleHeader = {
				...(selection.real === undefined ? {} : { destination: { negated: false, prefix: selection.real } }),
				...(inInterface === undefined ? {} : { inInterface: { negated: false, ...inInterface } }),
				...(protocol === undefined ? {} : { protocol: { negated: false, number: protocol } }),
			};
			return {
				family: service.vip.family,
				table: options.table,
				chain: "PREROUTING",
				header,
				matches: [...before, ...(match === undefined ? [] : [match]), ...after],
				target: {
					daddr: service.vip,
					clearDscp: service.clearDscp,
					...(service.setPort === undefined ? {} : { dport: service.setPort }),
					...follows,
				},
			};
		}),
	);
}

/** True if ICMP errors can belong to its flows: they quote its protocol without having it. */
function hasFlows({ protocols }: Selection): boolean {
	return protocols?.every((number) => PORT_PROTOCOLS.includes(number)) === true;
}

/**
 * True if later fragments, which have no ports, go to a service with ports: only if no service of another VIP could
 * be meant by any ports.
 */
export function fragmentsFollow(service: Service, beside: readonly Service[]): boolean {
	const { selection } = service;
	if (selection?.ports === undefined) return false;
	const own = withoutPorts(selection);
	const { vip } = service;
	return !likelyToMeet(service, beside).some(
		(other) =>
			other.selection !== undefined &&
			other.vip.text !== vip.text &&
			selectionsOverlap(own, withoutPorts(other.selection)),
	);
}

/** Caches the services of each list by family and code, because each service is compared with the whole list. */
const byCode = new WeakMap<readonly Service[], Map<string, Service[]>>();

/** Services of the same family with the same code or without one; for a service without a code, all. */
function likelyToMeet({ vip, selection }: Service, beside: readonly Service[]): readonly Service[] {
	const { dscp } = selection ?? {};
	if (dscp === undefined) return beside.filter((other) => other.vip.family === vip.family);
	let known = byCode.get(beside);
	if (known === undefined) {
		known = Map.groupBy(beside, codeKey);
		byCode.set(beside, known);
	}
	return [...(known.get(`${vip.family} ${dscp}`) ?? []), ...(known.get(`${vip.family} any`) ?? [])];
}

function codeKey({ vip, selection }: Service): string {
	return `${vip.family} ${selection?.dscp ?? "any"}`;
}

function withoutPorts({ ports: _, ...selection }: Selection): Selection {
	return selection;
}

/** The service's name if the rule has a signature, else undefined: it is not ours. */
export function signatureOf(rule: Rule): string | undefined {
	for (const match of rule.matches) {
		if (match.kind === "comment" && match.text.startsWith(SIGNATURE)) {
			return match.text.slice(SIGNATURE.length);
		}
	}
	return undefined;
}

interface Transport {
	readonly protocol?: number;
	readonly match?: Match;
}

function lowerTransport(
	protocols: readonly number[] | undefined,
	ports: readonly NumberRange[] | undefined,
): Transport[] {
	if (protocols === undefined) return [{}];
	if (ports === undefined) return protocols.map((protocol) => ({ protocol }));
	return protocols.flatMap((protocol) => {
		const [only] = ports;
		if (only !== undefined && ports.length === 1) {
			return [{ protocol, match: singlePort(protocol, only) }];
		}
		return multiportGroups(ports).map(
			(group): Transport => ({
				protocol,
				match: { kind: "multiport", negated: false, direction: "destination", ports: group },
			}),
		);
	});
}

function singlePort(protocol: number, range: NumberRange): Match {
	return { kind: "ports", module: portModule(protocol), destination: { negated: false, ...range } };
}

function portModule(protocol: number): PortModule {
	const module = PORT_MODULES.find((name) => PROTOCOL_NUMBER[name] === protocol);
	if (module === undefined) throw new RangeError(`IP protocol ${protocol} has no ports`);
	return module;
}

function multiportGroups(ports: readonly NumberRange[]): NumberRange[][] {
	const groups: NumberRange[][] = [];
	let free = 0;
	for (const range of ports) {
		const slots = range.first === range.last ? 1 : 2;
		const last = groups.at(-1);
		if (last === undefined || slots > free) {
			groups.push([range]);
			free = MULTIPORT_SLOTS - slots;
		} else {
			last.push(range);
			free -= slots;
		}
	}
	return groups;
}
