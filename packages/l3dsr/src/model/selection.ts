/**
 * Whole selections against each other: can one packet be meant for two services? A pure, exact answer,
 * because a selection is a box: one set for each field, and boxes meet when they meet in every field.
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

/** Two services of one configuration that cannot stand together; indexes into the list that was asked about. */
export interface Conflict {
	/**
	 * `overlap`: there is a packet that both select, and they would do different things to it.
	 * `chain`: a packet that `first` has rewritten is then selected by `second`, and rewritten again.
	 * `answer`: `first` sets a port, and an answer of `second` leaves from the same address and port.
	 */
	readonly kind: "overlap" | "chain" | "answer";
	readonly first: number;
	readonly second: number;
}

/** True when some packet of the family meets both selections. */
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
 * Every conflict, in the order of the later service, and `most` of them at most: where thousands of services share a
 * code, each pair of them conflicts. Services that would do the same thing to a packet
 * that both select (one VIP under several codes, a line that stands twice) do not conflict.
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

/** Of different VIPs and codes, which nothing clears: so are nearly all pairs, and no conflict has such services. */
function differByCode(a: Service, b: Service): boolean {
	const [codeA, codeB] = [a.selection?.dscp, b.selection?.dscp];
	if (codeA === undefined || codeB === undefined || codeA === codeB) return false;
	return !a.clearDscp && !b.clearDscp && a.vip.text !== b.vip.text;
}

type Placed = { readonly service: Service; readonly index: number; readonly selection: Selection };

/** The answers of both services leave from the same port, and only those of one are to be translated, or otherwise. */
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

/** The packets of a selection as they are once the service has rewritten them. */
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

/** The prefix that holds this address alone. */
export function hostPrefix(address: Address): Prefix {
	return prefixOf(address, addressBits(address.family));
}

/** A condition that is absent is met by every packet. */
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
