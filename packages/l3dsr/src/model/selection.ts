/**
 * Compares whole selections: can one packet be meant for two services? The answer is exact, because a selection has
 * one set for each field, and two selections overlap if and only if they overlap in every field. Pure.
 */
import {
	type Address,
	addressBits,
	dscp,
	PORT_PROTOCOLS,
	type Prefix,
	prefixContains,
	prefixOf,
} from "@l3dsr/packet";
import type { InterfaceName } from "./interface-name.ts";
import type { NumberRange } from "./rule.ts";
import type { Selection, Service } from "./service.ts";

/** Two services of one configuration that exclude each other; indexes into the given list. */
export interface Conflict {
	/**
	 * `overlap`: both select the same packet and would do different things to it. `chain`: `second` selects a packet
	 * that `first` has rewritten, and rewrites it again. `answer`: `first` sets a port, and an answer of `second`
	 * leaves from the same address and port.
	 */
	readonly kind: "overlap" | "chain" | "answer";
	readonly first: number;
	readonly second: number;
}

/** True if some packet of the family meets both selections. */
export function selectionsOverlap(a: Selection, b: Selection): boolean {
	return (
		meet(a.dscp, b.dscp, (x, y) => x === y) &&
		meet(a.mark, b.mark, (x, y) => (x.value & y.mask) >>> 0 === (y.value & x.mask) >>> 0) &&
		meet(a.interfaces, b.interfaces, someMeet(interfacesMeet)) &&
		meet(a.real, b.real, prefixesMeet) &&
		meet(a.protocols, b.protocols, someMeet(equal)) &&
		meet(a.ports, b.ports, someMeet(rangesMeet))
	);
}

/**
 * Every conflict, in the order of the later service, up to `most`: if thousands of services share a code, each pair
 * of them conflicts. Services that would do the same thing to a packet that both select (one VIP with several codes,
 * a duplicate line) do not conflict.
 */
export function findConflicts(services: readonly Service[], most = Number.POSITIVE_INFINITY): Conflict[] {
	const conflicts: Conflict[] = [];
	const selecting = services.flatMap((service, index) =>
		service.selection === undefined
			? []
			: [{ service, index, selection: service.selection, image: imageOf(service, service.selection) }],
	);
	for (const [position, later] of selecting.entries()) {
		for (let index = 0; index < position && conflicts.length < most; index++) {
			const earlier = selecting[index];
			if (earlier === undefined || earlier.service.vip.family !== later.service.vip.family) continue;
			if (differByCode(earlier.service, later.service)) continue;
			const answers = answerConflict(earlier, later);
			if (answers !== undefined) conflicts.push(answers);
			if (sameOutcome(earlier.service, later.service)) continue;
			const [first, second] = [earlier.index, later.index];
			if (selectionsOverlap(earlier.selection, later.selection)) {
				conflicts.push({ kind: "overlap", first, second });
			} else if (selectionsOverlap(earlier.image, later.selection)) {
				conflicts.push({ kind: "chain", first, second });
			} else if (selectionsOverlap(later.image, earlier.selection)) {
				conflicts.push({ kind: "chain", first: second, second: first });
			}
		}
	}
	return conflicts;
}

/**
 * True if VIPs and codes differ and no code is cleared. Nearly all pairs are like this, and such services cannot
 * conflict.
 */
function differByCode(a: Service, b: Service): boolean {
	const [codeA, codeB] = [a.selection?.dscp, b.selection?.dscp];
	if (codeA === undefined || codeB === undefined || codeA === codeB) return false;
	return !a.clearDscp && !b.clearDscp && a.vip.text !== b.vip.text;
}

type Placed = { readonly service: Service; readonly index: number; readonly selection: Selection };

/** A conflict if the answers of both services leave from the same port but must be treated differently. */
function answerConflict(a: Placed, b: Placed): Conflict | undefined {
	const { vip } = a.service;
	if (vip.text !== b.service.vip.text || !meet(a.selection.protocols, b.selection.protocols, someMeet(equal)))
		return undefined;
	for (const [one, other] of [
		[a, b],
		[b, a],
	] as const) {
		const { setPort } = one.service;
		if (setPort === undefined) continue;
		const [from] = one.selection.ports ?? [];
		const same = other.service.setPort === setPort && other.selection.ports?.[0]?.first === from?.first;
		const answersFrom = other.service.setPort ?? other.selection.ports;
		const range = { first: setPort, last: setPort };
		const meets =
			answersFrom === undefined ||
			(typeof answersFrom === "number"
				? answersFrom === setPort
				: answersFrom.some((port) => rangesMeet(port, range)));
		if (meets && !same) return { kind: "answer", first: one.index, second: other.index };
	}
	return undefined;
}

function sameOutcome(a: Service, b: Service): boolean {
	return a.vip.text === b.vip.text && a.setPort === b.setPort && a.clearDscp === b.clearDscp;
}

/** The packets of a selection after the service has rewritten them. */
function imageOf(service: Service, selection: Selection): Selection {
	const image: Selection = {
		...selection,
		real: hostPrefix(service.vip),
		...(service.clearDscp ? { dscp: dscp(0) } : {}),
	};
	const hasPorts = (selection.protocols ?? PORT_PROTOCOLS).some((number) => PORT_PROTOCOLS.includes(number));
	if (service.setPort === undefined || !hasPorts) return image;
	return { ...image, ports: [{ first: service.setPort, last: service.setPort }] };
}

/** The prefix that contains only this address. */
export function hostPrefix(address: Address): Prefix {
	return prefixOf(address, addressBits(address.family));
}

/** Every packet meets an absent condition. */
function meet<T>(a: T | undefined, b: T | undefined, test: (a: T, b: T) => boolean): boolean {
	return a === undefined || b === undefined || test(a, b);
}

function someMeet<T>(test: (a: T, b: T) => boolean): (a: readonly T[], b: readonly T[]) => boolean {
	return (a, b) => a.some((x) => b.some((y) => test(x, y)));
}

function equal(a: number, b: number): boolean {
	return a === b;
}

function interfacesMeet(a: InterfaceName, b: InterfaceName): boolean {
	if (a.wildcard && b.wildcard) return a.name.startsWith(b.name) || b.name.startsWith(a.name);
	if (a.wildcard) return b.name.startsWith(a.name);
	if (b.wildcard) return a.name.startsWith(b.name);
	return a.name === b.name;
}

function prefixesMeet(a: Prefix, b: Prefix): boolean {
	return a.length <= b.length ? prefixContains(a, b.address) : prefixContains(b, a.address);
}

function rangesMeet(a: NumberRange, b: NumberRange): boolean {
	return a.first <= b.last && b.first <= a.last;
}
