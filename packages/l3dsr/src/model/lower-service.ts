/** A service as rules: what `up` and `dsrctl` put into the kernel for it. */
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
	/** Where the rules stand: PREROUTING of this table. */
	readonly table: Table;
	/** For services that do not name interfaces themselves: one rule each. Absent: any interface, one rule. */
	readonly interfaces?: readonly InterfaceName[];
	/** Only packets that arrive for one of this host's own addresses, so that forwarded traffic is left alone. */
	readonly localOnly: boolean;
	/**
	 * Every service of the host. With it, later fragments follow a service with ports where only its VIP can be meant;
	 * without it they do not.
	 */
	readonly beside?: readonly Service[];
	/** Sign the rules with the service's name, so that `up` and `down` know them as their own. */
	readonly signed: boolean;
}

const SIGNATURE = "l3dsr:";
/** xt_multiport holds 15 ports, and a range takes two of them. */
const MULTIPORT_SLOTS = 15;

/** The rules of a service, none for L2DSR. Rules of one service select disjoint packets. */
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

/** Packets of its flows come without being of its protocol: ICMP errors, which quote them. */
function hasFlows({ protocols }: Selection): boolean {
	return protocols?.every((number) => PORT_PROTOCOLS.includes(number)) === true;
}

/**
 * Whether later fragments, which carry no port, go to a service that asks for ports: only if no service of another VIP
 * could be meant, whatever the ports are.
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

/** Services by family and code, of each list that was asked about: every service of it is asked about the whole list. */
const byCode = new WeakMap<readonly Service[], Map<string, Service[]>>();

/** Those of the family that have the same code, or none; all, for a service without. */
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

/** The service's name when the rule carries the signature of one, else undefined: somebody else's rule. */
export function signatureOf(rule: Rule): string | undefined {
	for (const match of rule.matches) {
		if (match.kind === "comment" && match.text.startsWith(SIGNATURE)) {
			return match.text.slice(SIGNATURE.length);
		}
	}
	return undefined;
}

/** The rule without the two matches by which a service's rule is safer, and known, than one typed by hand. */
export function bareRule(rule: Rule): Rule {
	return {
		...rule,
		matches: rule.matches.filter(
			(match) => !(match.kind === "comment" && match.text.startsWith(SIGNATURE)) && match.kind !== "addrtype",
		),
	};
}

/** Longest name that fits a signature: xt_comment holds 255 bytes. */
export const MAX_NAME_BYTES = 255 - SIGNATURE.length;

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
