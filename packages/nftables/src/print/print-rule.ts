/**
 * Prints a rule in nft's syntax. The printer tracks what each register holds, and prints each comparison,
 * write and verdict with it. nft(8) reads the same rule from the result.
 */

import { bytesNumber, prefixLength } from "../bytes.ts";
import { type DataType, dataType, integerType } from "../data-type.ts";
import type { Bitwise, Compare, Expression, Lookup, Payload, PayloadWrite, Reject } from "../expression.ts";
import { FIELDS, type Field, type FieldName, shiftOf } from "../field.ts";
import { printable } from "../printable.ts";
import type { RuleSpec } from "../ruleset.ts";
import type { Family } from "../uapi.ts";
import { anonymousSetText, verdictText } from "./element.ts";
import {
	BASES,
	comparedText,
	connectionHeld,
	extensionHeader,
	FIELD_NAMES,
	flagText,
	type Held,
	hostNumber,
	isAddress,
	isRange,
	metaType,
	PORT_OFFSETS,
	place,
	UNITS,
	UNREACHABLE,
	WITH_PORTS,
	WITH_TYPES,
} from "./held.ts";
import { logText, objectText, otherText } from "./statement.ts";
import { boundText, valueText } from "./value.ts";

/** The rule in the syntax that nft reads after `add rule ip filter input`. */
export function printRule({ expressions, comment }: RuleSpec, family: Family): string {
	const words = new RulePrinter(family).print(expressions);
	if (comment !== undefined) words.push(`comment "${printable(comment)}"`);
	return words.join(" ");
}

class RulePrinter {
	readonly #family: Family;
	/** Contents of the registers, by the place of their first four bytes. */
	readonly #registers = new Map<number, Held>();
	/** Registers that were loaded since the last statement. */
	readonly #fresh = new Set<number>();
	/** The protocol that the rule has matched so far. */
	#protocol: number | undefined;
	#network: "ip" | "ip6" | "arp" | undefined;
	/** Whether the packet has an Ethernet header: nft adds a match on that before a field of it. */
	#hasEther: boolean;

	constructor(family: Family) {
		this.#family = family;
		this.#hasEther = family === "bridge" || family === "netdev";
		this.#network = family === "ip" || family === "ip6" || family === "arp" ? family : undefined;
	}

	print(expressions: readonly Expression[]): string[] {
		const words: string[] = [];
		for (let at = 0; at < expressions.length; at++) {
			const one = expressions[at];
			const next = expressions[at + 1];
			if (one === undefined) continue;
			if (one.kind === "compare" && next?.kind === "compare" && isRange(one, next)) {
				words.push(this.#range("==", one.register, one.value, next.value));
				at++;
			} else if (one.kind === "compare" && this.#impliedByEther(one, next)) {
				this.#registers.delete(place(one.register));
				this.#hasEther = true;
			} else if (one.kind === "compare" && this.#impliedByField(one, next, expressions[at + 2])) {
				this.#learn(this.#held(one.register), one.operator, one.value);
			} else {
				const text = this.#expression(one);
				if (text === undefined) continue;
				words.push(text);
				this.#fresh.clear();
			}
		}
		return words;
	}

	/** Returns undefined for an expression that only loads a register. */
	#expression(one: Expression): string | undefined {
		switch (one.kind) {
			case "payload":
				return this.#hold(one.register, this.#payload(one));
			case "meta":
				return this.#hold(one.register, { text: `meta ${one.key}`, ...metaType(one.key), shift: 0 });
			case "fib": {
				const type =
					one.result === "type"
						? dataType("fib_addrtype")
						: one.result === "oif"
							? dataType("iface_index")
							: dataType("ifname");
				return this.#hold(one.register, {
					text: `fib ${one.flags.filter((flag) => flag !== "present").join(" . ")} ${one.result}`,
					type: one.flags.includes("present") ? dataType("boolean") : type,
					length: type.bytes,
					shift: 0,
				});
			}
			case "exthdr":
				return this.#hold(one.register, extensionHeader(one));
			case "ct":
				return this.#hold(one.register, connectionHeld(one, this.#network));
			case "hash": {
				const input = one.source === undefined ? "" : ` ${this.#joined(one.source, one.length ?? 0)}`;
				const seed = one.seed === undefined ? "" : ` seed 0x${one.seed.toString(16)}`;
				const offset = one.offset === 0 ? "" : ` offset ${one.offset}`;
				return this.#hold(one.register, {
					text: `${one.type}${input} mod ${one.modulus}${seed}${offset}`,
					type: hostNumber(4),
					length: 4,
					shift: 0,
				});
			}
			case "numgen":
				return this.#hold(one.register, {
					text: `numgen ${one.type} mod ${one.modulus}${one.offset === 0 ? "" : ` offset ${one.offset}`}`,
					type: hostNumber(4),
					length: 4,
					shift: 0,
				});
			case "immediate":
				return this.#hold(one.register, {
					text: "",
					type: integerType(one.value.length),
					length: one.value.length,
					shift: 0,
					value: one.value,
				});
			case "bitwise":
				return this.#bitwise(one);
			case "byteorder": {
				const held = this.#held(one.source);
				const order = one.operation === "to network" ? "network" : "host";
				return this.#hold(one.register, { ...held, type: { ...held.type, order } });
			}
			case "compare":
				return this.#compare(one);
			case "range":
				return this.#range(one.operator, one.register, one.first, one.last);
			case "lookup":
				return this.#lookup(one);
			case "payload write":
				return this.#write(one);
			case "meta write":
				return `meta ${one.key} set ${this.#assigned(one.register, metaType(one.key).type)}`;
			case "verdict":
				return verdictText(one);
			case "counter":
				return `counter packets ${one.packets} bytes ${one.bytes}`;
			case "limit": {
				const unit = UNITS[String(one.perSeconds)] ?? `${one.perSeconds} seconds`;
				const bytes = one.type === "bytes";
				const burst = one.burst === 0 ? "" : ` burst ${one.burst} ${one.type}`;
				return `limit rate ${one.over ? "over " : ""}${one.rate}${bytes ? " bytes" : ""}/${unit}${burst}`;
			}
			case "log":
				return logText(one);
			case "object":
				return objectText(one);
			case "reject":
				return `reject with ${this.#rejection(one)}`;
			case "match":
			case "target":
				return `xt ${one.kind} "${printable(one.name)}"`;
			case "other":
				// It may have loaded a register.
				this.#registers.clear();
				return otherText(one);
		}
	}

	#rejection({ type, code = 0 }: Reject): string {
		if (type === "tcp reset") return type;
		const kind = type === "icmp" && this.#network === "ip6" ? "icmpv6" : type;
		return `${kind} ${UNREACHABLE[kind][code] ?? code}`;
	}

	#hold(register: number, held: Held): undefined {
		this.#registers.set(place(register), held);
		this.#fresh.add(place(register));
	}

	#held(register: number): Held {
		return (
			this.#registers.get(place(register)) ?? {
				text: `register ${register}`,
				type: integerType(4),
				length: 4,
				shift: 0,
			}
		);
	}

	/** Adjacent registers as a concatenation. For a named set, the rule does not contain the length. */
	#joined(register: number, length = Number.POSITIVE_INFINITY): string {
		const texts: string[] = [];
		for (let at = place(register); at < place(register) + length / 4; ) {
			const held = this.#registers.get(at);
			if (held === undefined || !this.#fresh.has(at)) break;
			texts.push(held.text);
			at += Math.max(1, (held.length + 3) >> 2);
		}
		return texts.join(" . ");
	}

	#payload(payload: Payload): Held {
		const { base, offset, length } = payload;
		const name = this.#fieldAt(payload, undefined);
		const prefixed = name === undefined ? this.#addressAt(payload) : undefined;
		const protocol = WITH_PORTS.get(this.#protocol ?? 0);
		const text = protocol === undefined ? name : name?.replace(/^th /, `${protocol} `);
		return {
			text: text ?? prefixed ?? `@${BASES[base]},${offset * 8},${length * 8}`,
			type: name === undefined ? integerType(length) : FIELDS[name].type,
			length,
			shift: 0,
			payload,
		};
	}

	/** The field at these bits of the packet, given the protocol that the rule has matched. */
	#fieldAt(payload: Payload, mask: number | undefined): FieldName | undefined {
		return FIELD_NAMES.find((name) => isField(FIELDS[name], payload, mask) && this.#mayMean(name));
	}

	/** The address whose first bytes were loaded. */
	#addressAt({ base, offset, length }: Payload): FieldName | undefined {
		return FIELD_NAMES.find((name) => {
			const field: Field = FIELDS[name];
			const begins = field.base === base && field.offset === offset && length < field.length;
			return begins && isAddress(field.type) && this.#mayMean(name);
		});
	}

	#mayMean(name: FieldName): boolean {
		const protocol = name.split(" ")[0] ?? "";
		if (protocol === "ether") return this.#hasEther;
		if (protocol === "ip" || protocol === "ip6" || protocol === "arp") return this.#network === protocol;
		if (protocol === "icmp") return this.#protocol === 1;
		if (protocol === "icmpv6") return this.#protocol === 58;
		// Comparisons of ports are the same for all protocols that have ports.
		return protocol === "th" && (this.#protocol === undefined || WITH_PORTS.has(this.#protocol));
	}

	#bitwise(one: Bitwise): undefined {
		const held = this.#held(one.source);
		if (one.operation !== "mask") {
			const bits = bytesNumber(one.bits, "host");
			return this.#hold(one.register, { ...held, text: `${held.text} ${one.operation} ${bits}` });
		}
		const prefix = isAddress(held.type) ? prefixLength(one.mask) : undefined;
		if (prefix !== undefined) return this.#hold(one.register, { ...held, prefix });
		const bits = bytesNumber(one.mask, held.type.order);
		const name = held.payload === undefined ? undefined : this.#fieldAt(held.payload, Number(bits));
		const mask = { ...one, operation: "mask" as const };
		if (name !== undefined && one.xor.every((byte) => byte === 0)) {
			const { type, mask: own = 0 }: Field = FIELDS[name];
			return this.#hold(one.register, { ...held, text: name, type, shift: shiftOf({ mask: own }), mask });
		}
		const xor = one.xor.every((byte) => byte === 0)
			? ""
			: ` ^ 0x${bytesNumber(one.xor, held.type.order).toString(16)}`;
		const shown = held.type.name === "ether_addr" ? valueText(one.mask, held.type) : `0x${bits.toString(16)}`;
		return this.#hold(one.register, { ...held, text: `${held.text} & ${shown}${xor}`, mask });
	}

	#compare({ register, operator, value }: Compare): string {
		const held = this.#held(register);
		this.#learn(held, operator, value);
		const bits = flagText(held, operator, value);
		if (bits !== undefined) return bits;
		const isPlain = operator === "==" && !held.text.includes(" & ");
		return `${held.text} ${isPlain ? "" : `${operator} `}${comparedText(held, value)}`;
	}

	/** Records what the comparison says about the packet. */
	#learn(held: Held, operator: string, value: Uint8Array): void {
		if (operator !== "==") return;
		if (held.text === "meta l4proto" || held.text === "ip protocol") this.#protocol = value[0];
		if (held.text === "meta iiftype" && bytesNumber(value, "host") === ARPHRD_ETHER) this.#hasEther = true;
		if (held.text === "meta nfproto" && this.#family !== "ip" && this.#family !== "ip6") {
			this.#network = value[0] === 2 ? "ip" : value[0] === 10 ? "ip6" : undefined;
		}
	}

	/** nft itself adds the match on Ethernet before fields of the Ethernet header. */
	#impliedByEther(one: Compare, next: Expression | undefined): boolean {
		const { text } = this.#held(one.register);
		const isEther = text === "meta iiftype" && bytesNumber(one.value, "host") === ARPHRD_ETHER;
		return (
			isEther &&
			next?.kind === "payload" &&
			next.base === "link" &&
			FIELD_NAMES.some((name) => isField(FIELDS[name], next, undefined))
		);
	}

	/** nft itself adds the match on the protocol before `tcp dport` and `icmp type`. */
	#impliedByField(one: Compare, next: Expression | undefined, user: Expression | undefined): boolean {
		const [protocol = 0] = one.value;
		const asksProtocol = this.#held(one.register).text === "meta l4proto" && one.operator === "==";
		const compares = user?.kind === "compare" || user?.kind === "lookup" || user?.kind === "range";
		if (!asksProtocol || !compares || next?.kind !== "payload" || next.base !== "transport") return false;
		if (WITH_PORTS.has(protocol)) return PORT_OFFSETS.has(next.offset) && next.length === 2;
		return WITH_TYPES.has(protocol) && next.offset === 0 && next.length === 1;
	}

	#range(operator: "==" | "!=", register: number, first: Uint8Array, last: Uint8Array): string {
		const held = this.#held(register);
		const [low, high] = [first, last].map((one) => boundText(one, held.type, held.shift));
		return `${held.text} ${operator === "==" ? "" : "!= "}${low}-${high}`;
	}

	#lookup({ set, register, destination, negated }: Lookup): string | undefined {
		const key = typeof set === "string" ? this.#rawKey(register) : this.#joined(register, set.key.bytes);
		const name =
			typeof set === "string" ? `@${printable(set)}` : anonymousSetText(set, this.#held(register).shift);
		if (destination === undefined) return `${key} ${negated ? "!= " : ""}${name}`;
		if (destination === 0) return `${key} vmap ${name}`;
		const length =
			typeof set === "string" || set.data === undefined || set.data === "verdict" ? 4 : set.data.bytes;
		this.#hold(destination, { text: `${key} map ${name}`, type: integerType(length), length, shift: 0 });
		return undefined;
	}

	/** The key as raw bits: nft 1.0.6 creates another key if a named map has a named field. */
	#rawKey(register: number): string {
		const { payload, mask } = this.#held(register);
		if (payload === undefined || mask === undefined) return this.#joined(register);
		const place = `@${BASES[payload.base]},${payload.offset * 8},${payload.length * 8}`;
		return `${place} & 0x${bytesNumber(mask.mask).toString(16)}`;
	}

	#write(write: PayloadWrite): string {
		const held = this.#held(write.register);
		const bits =
			held.mask === undefined || held.payload === undefined
				? undefined
				: this.#assignedBits(write, held, held.mask);
		if (bits !== undefined) return bits;
		const name = FIELD_NAMES.find((one) => {
			const field: Field = FIELDS[one];
			return (
				field.base === write.base &&
				field.offset === write.offset &&
				field.length === write.length &&
				field.mask === undefined &&
				updatesChecksumOf(one, write) &&
				this.#mayWrite(one)
			);
		});
		const target = name ?? `@${BASES[write.base]},${write.offset * 8},${write.length * 8}`;
		const type = name === undefined ? integerType(write.length) : FIELDS[name].type;
		return `${target} set ${this.#assigned(write.register, type)}`;
	}

	#mayWrite(name: FieldName): boolean {
		if (name.startsWith("tcp ")) return this.#protocol === 6;
		if (name.startsWith("udp ")) return this.#protocol === 17;
		return !name.startsWith("th ") && this.#mayMean(name);
	}

	/** A write to some bits of a field: the surrounding bits were loaded and stay. */
	#assignedBits(
		write: PayloadWrite,
		{ payload }: Held,
		mask: Bitwise & { operation: "mask" },
	): string | undefined {
		if (payload === undefined || payload.offset !== write.offset || payload.length !== write.length)
			return undefined;
		const cleared = ~bytesNumber(mask.mask) & ((1n << BigInt(8 * write.length)) - 1n);
		const name = FIELD_NAMES.find((one) => {
			const field: Field = FIELDS[one];
			if (field.base !== write.base || field.mask === undefined || !this.#mayWrite(one)) return false;
			const below = 8 * (write.offset + write.length - field.offset - field.length);
			return below >= 0 && BigInt(field.mask) << BigInt(below) === cleared;
		});
		if (name === undefined) return undefined;
		const field: Field = FIELDS[name];
		const below = 8 * (write.offset + write.length - field.offset - field.length);
		const value = bytesNumber(mask.xor) >> BigInt(below + shiftOf({ mask: field.mask ?? 0 }));
		return `${name} set ${value}`;
	}

	#assigned(register: number, type: DataType): string {
		const { text, value } = this.#held(register);
		return value === undefined ? text : valueText(value, type);
	}
}

function isField(field: Field, { base, offset, length }: Payload, mask: number | undefined): boolean {
	return field.base === base && field.offset === offset && field.length === length && field.mask === mask;
}

const ARPHRD_ETHER = 1n;

/** Whether the write also changes the checksums that cover the field. */
function updatesChecksumOf(name: FieldName, { checksum, pseudoHeader }: PayloadWrite): boolean {
	const field: Field = FIELDS[name];
	// nft 1.1 leaves it to the kernel to find the checksum of UDP, which a packet may lack, as for an address.
	if (name.startsWith("udp ") && checksum === undefined && pseudoHeader) return true;
	return checksum === field.checksum && pseudoHeader === (field.pseudoHeader === true);
}
