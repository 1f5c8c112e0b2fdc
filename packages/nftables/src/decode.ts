/** Decodes netlink messages of nf_tables to values. */

import { type Codec, eachAttribute, UnreadableError } from "./codec.ts";
import type { Expression } from "./expression.ts";
import type { ExpressionReader } from "./expression-codec.ts";
import type { WireChain, WireGeneration, WireObject, WireSet, WireTable } from "./object-codec.ts";
import {
	CHAIN_OFFLOAD,
	chain as chainCodec,
	counterData,
	elements as elementsCodec,
	flowtable as flowtableCodec,
	generation,
	object as objectCodec,
	RULE_EXPRESSIONS,
	rule as ruleCodec,
	set as setCodec,
	table as tableCodec,
	type WireElements,
	type WireNamed,
} from "./object-codec.ts";
import type { BaseChain, Chain, NamedObject, Rule, Table } from "./ruleset.ts";
import { type Family, familyOf, HOOKS, type Hook, NFGENMSG, OBJECT_NAMES } from "./uapi.ts";
import { decodeComment } from "./user-data.ts";

/** A message's struct nfgenmsg and attributes, from a dump or a notification. */
export class MessageBody {
	readonly family: Family | undefined;
	readonly bytes: Buffer;

	constructor(payload: Uint8Array) {
		this.bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
		this.family = familyOf(this.bytes[0] ?? 0);
	}

	read<W>(codec: Codec<W>): W {
		return codec.read(this.bytes, NFGENMSG.size, this.bytes.length);
	}
}

export function decodeTable(body: MessageBody): Table {
	const { name, flags = [], handle = 0n, owner, userData }: WireTable = body.read(tableCodec);
	if (body.family === undefined) throw new UnreadableError(`table ${name} of an unknown family`);
	const comment = userData === undefined ? undefined : decodeComment(userData);
	return {
		family: body.family,
		name,
		flags,
		handle,
		...(owner === undefined ? {} : { owner }),
		...(comment === undefined ? {} : { comment }),
	};
}

/** An object of a table, with the table's name. */
export interface Owned<T> {
	readonly family: Family | undefined;
	readonly table: string;
	readonly value: T;
}

export function decodeChain(body: MessageBody): Owned<Chain> {
	const wire: WireChain = body.read(chainCodec);
	const { table, name = "", handle = 0n, userData } = wire;
	const comment = userData === undefined ? undefined : decodeComment(userData);
	const base = decodeBase(wire, body.family);
	return {
		family: body.family,
		table,
		value: {
			name,
			handle,
			...(base === undefined ? {} : { base }),
			...(comment === undefined ? {} : { comment }),
		},
	};
}

function decodeBase(
	{ hook, type, policy = "accept", flags = 0 }: WireChain,
	family: Family | undefined,
): BaseChain | undefined {
	if (hook === undefined || family === undefined) return undefined;
	const found = Object.entries(HOOKS[family]).find(([, number]) => number === hook.hook);
	if (found === undefined || !isChainType(type))
		throw new UnreadableError(`a chain of type ${type} at hook ${hook.hook}`);
	const devices = hook.devices ?? (hook.device === undefined ? [] : [hook.device]);
	return {
		type,
		hook: found[0] as Hook, // `found` comes from the names of HOOKS
		priority: hook.priority,
		policy,
		...(devices.length === 0 ? {} : { devices }),
		...((flags & CHAIN_OFFLOAD) === 0 ? {} : { offload: true }),
	};
}

function isChainType(type: string | undefined): type is BaseChain["type"] {
	return type === "filter" || type === "route" || type === "nat";
}

export function decodeRule(body: MessageBody, expressions: ExpressionReader): Owned<Rule> {
	const { table = "", chain = "", handle = 0n, userData } = body.read(ruleCodec);
	const list: Expression[] = [];
	eachAttribute(body.bytes, NFGENMSG.size, body.bytes.length, (type, from, to) => {
		if (type !== RULE_EXPRESSIONS) return;
		eachAttribute(body.bytes, from, to, (_, first, last) => {
			list.push(expressions.read(body.bytes, first, last));
		});
	});
	const comment = userData === undefined ? undefined : decodeComment(userData);
	return {
		family: body.family,
		table,
		value: { chain, handle, expressions: list, ...(comment === undefined ? {} : { comment }) },
	};
}

export function decodeSetHead(body: MessageBody): Owned<WireSet> {
	const value = body.read(setCodec);
	return { family: body.family, table: value.table, value };
}

export function decodeElementList(body: MessageBody): Owned<WireElements> {
	const value = body.read(elementsCodec);
	return { family: body.family, table: value.table, value };
}

export function decodeObject(body: MessageBody): Owned<NamedObject> {
	const { table, name = "", type: number = 0, data, userData }: WireObject = body.read(objectCodec);
	const type = OBJECT_NAMES.get(number) ?? "unknown";
	const inside = data === undefined ? undefined : Buffer.from(data.buffer, data.byteOffset, data.length);
	const counter =
		type === "counter" && inside !== undefined ? counterData.read(inside, 0, inside.length) : undefined;
	const comment = userData === undefined ? undefined : decodeComment(userData);
	return {
		family: body.family,
		table,
		value: {
			type,
			name,
			...(counter === undefined ? {} : { counter }),
			...(comment === undefined ? {} : { comment }),
		},
	};
}

export function decodeFlowtable(body: MessageBody): Owned<string> {
	const { table, name = "" }: WireNamed = body.read(flowtableCodec);
	return { family: body.family, table, value: name };
}

export function decodeGeneration(body: MessageBody): WireGeneration {
	return body.read(generation);
}
