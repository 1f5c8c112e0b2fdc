/**
 * Turns rules back into the services that they stand for: the reverse of lower-service.ts. Pure.
 *
 * A service takes packets for this host's own addresses. So a rule in mangle INPUT corresponds exactly, as does one
 * in PREROUTING with `addrtype LOCAL`. A rule without that becomes narrower, and `narrowed` lists it.
 */
import { dscpOfTos, PORT_PROTOCOLS, PROTOCOL_NUMBER } from "@l3dsr/packet";
import { signatureOf } from "../../model/lower-service.ts";
import { type Match, type NumberRange, type Rule, sameValue, type Table } from "../../model/rule.ts";
import type { Selection, Service } from "../../model/service.ts";
import { wayBackOf } from "../../model/way-back.ts";
import { saveHeader } from "../iptables/header.ts";
import { saveMatch } from "../iptables/matches.ts";
import { NAME_PATTERN, readInterface, readPort, readVip } from "./read-value.ts";

export interface RaisedRules {
	/** In the order of their first rules; `first` is the index of that rule. */
	readonly services: readonly { readonly service: Service; readonly first: number }[];
	/** Rules that no service can represent, by index. */
	readonly left: readonly { readonly rule: number; readonly why: string }[];
	/** Indexes of rules that also matched forwarded packets, which their services do not. */
	readonly narrowed: readonly number[];
}

export function raiseRules(rules: readonly Rule[]): RaisedRules {
	const raised: { service: Service; first: number }[] = [];
	const left: { rule: number; why: string }[] = [];
	const narrowed: number[] = [];
	rules.forEach((rule, index) => {
		const service = raiseRule(rule);
		if (typeof service === "string") {
			left.push({ rule: index, why: service });
			return;
		}
		if (raised.some((one) => sameValue(one.service, service))) return;
		raised.push({ service, first: index });
		const local = rule.chain === "INPUT" || rule.matches.some(({ kind }) => kind === "addrtype");
		if (!local) narrowed.push(index);
	});
	// The rules of a service are all combinations of its interfaces, protocols and groups of ports.
	let services = raised;
	for (const field of ["ports", "protocols", "interfaces"] as const) services = mergeBy(field, services);
	return { services, left, narrowed };
}

/** The table for their services: mangle if all rules are in mangle PREROUTING, else raw. */
export function tableOf(rules: readonly Rule[]): Table {
	const inMangle = rules.every(({ table, chain }) => table === "mangle" && chain === "PREROUTING");
	return rules.length > 0 && inMangle ? "mangle" : "raw";
}

type Raised = { service: Service; first: number };

/** Merges services that differ only in one list into one service with both lists. */
function mergeBy(field: "ports" | "protocols" | "interfaces", services: readonly Raised[]): Raised[] {
	const merged: Raised[] = [];
	for (const one of services) {
		const index = merged.findIndex(
			({ service }) =>
				// set-port is only for a single port.
				!(field === "ports" && service.setPort !== undefined) &&
				service.selection?.[field] !== undefined &&
				one.service.selection?.[field] !== undefined &&
				sameValue(withoutField(service, field), withoutField(one.service, field)),
		);
		const other = merged[index];
		if (other === undefined) {
			merged.push(one);
			continue;
		}
		const { selection } = other.service;
		const both = [...(selection?.[field] ?? []), ...(one.service.selection?.[field] ?? [])];
		merged[index] = { ...other, service: { ...other.service, selection: { ...selection, [field]: both } } };
	}
	return merged;
}

function withoutField(service: Service, field: keyof Selection): Service {
	const { [field]: _, ...selection } = service.selection ?? {};
	return { ...service, selection };
}

/** The service of a rule, or why no service can represent it. */
function raiseRule(rule: Rule): Service | string {
	const { header, target } = rule;
	if (rule.chain !== "PREROUTING" && rule.chain !== "INPUT") {
		return `chain ${rule.chain} is not on the path of packets that arrive for this host`;
	}
	const vip = readVip(target.daddr.text);
	if (!vip.ok) return vip.message;
	const { source, destination, inInterface, outInterface, protocol, fragment } = header;
	for (const [key, value] of Object.entries({ source, outInterface, fragment })) {
		if (value !== undefined) return noService(saveHeader({ [key]: value }).trim());
	}
	for (const [key, value] of Object.entries({ destination, inInterface, protocol })) {
		if (value?.negated === true) return noService(saveHeader({ [key]: value }).trim());
	}
	const conditions = selectionOfMatches(rule.matches, rule);
	if (typeof conditions === "string") return conditions;
	const { ports, ...rest } = conditions;
	if (inInterface !== undefined && !readInterface(inInterface.name).ok)
		return noService(`-i ${inInterface.name}`);
	const selection: Selection = {
		...rest,
		...(inInterface === undefined
			? {}
			: { interfaces: [{ name: inInterface.name, wildcard: inInterface.wildcard }] }),
		...(destination === undefined ? {} : { real: destination.prefix }),
		...(protocol === undefined ? {} : { protocols: [protocol.number] }),
		...(ports === undefined ? {} : { ports }),
	};
	const { dscp, mark, interfaces, real, protocols } = selection;
	if (dscp === undefined && mark === undefined && interfaces === undefined && real === undefined) {
		return "it selects by neither DSCP, mark, interface nor real address";
	}
	const portless = protocols?.some((number) => !PORT_PROTOCOLS.includes(number)) === true;
	if (target.dport !== undefined && portless) return "it sets a port for a protocol without ports";
	if (target.dport !== undefined && wayBackOf(rule) === undefined)
		return "it sets the port of more than one port, whose answers could not be translated back";
	const name = signatureOf(rule);
	return {
		name: name !== undefined && NAME_PATTERN.test(name) ? name : target.daddr.text,
		vip: target.daddr,
		selection,
		...(target.dport === undefined ? {} : { setPort: target.dport }),
		clearDscp: target.clearDscp,
	};
}

function noService(condition: string): string {
	return `a service cannot match ${condition}`;
}

function selectionOfMatches(matches: readonly Match[], { family, header }: Rule): Selection | string {
	let selection: Selection = {};
	for (const match of matches) {
		const refuse = noService(saveMatch(match, family));
		if (match.kind === "comment") continue;
		if ("negated" in match && match.negated) return refuse;
		switch (match.kind) {
			case "addrtype":
				break;
			case "dscp":
				if (selection.dscp !== undefined) return refuse;
				selection = { ...selection, dscp: match.dscp };
				break;
			case "tos":
				// A mask that ignores exactly the ECN bits is another spelling of a DSCP match.
				if (match.mask !== 0xfc || selection.dscp !== undefined) return refuse;
				selection = { ...selection, dscp: dscpOfTos(match.value) };
				break;
			case "mark":
				if (selection.mark !== undefined || (match.value & ~match.mask) !== 0) return refuse;
				selection = { ...selection, mark: { value: match.value, mask: match.mask } };
				break;
			case "ports":
			case "multiport": {
				const ports = destinationPorts(match);
				const protocol = match.kind === "ports" ? PROTOCOL_NUMBER[match.module] : header.protocol?.number;
				if (ports === undefined || selection.ports !== undefined || protocol === undefined) return refuse;
				selection = { ...selection, ports };
				break;
			}
			default:
				return refuse;
		}
	}
	return selection;
}

function destinationPorts(match: Extract<Match, { kind: "ports" | "multiport" }>): NumberRange[] | undefined {
	const valid = (ranges: readonly NumberRange[]) =>
		ranges.every(({ first, last }) => readPort(String(first)).ok && readPort(String(last)).ok);
	if (match.kind === "multiport") {
		return match.direction === "destination" && valid(match.ports) ? [...match.ports] : undefined;
	}
	const { source, destination } = match;
	if (source !== undefined || destination === undefined || destination.negated) return undefined;
	const range = { first: destination.first, last: destination.last };
	return valid([range]) ? [range] : undefined;
}
