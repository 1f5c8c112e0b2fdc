/** What `nft -n -j list table` prints, as plain data. */

import { type Family, parseIpv6 } from "@l3dsr/packet";
import { L3dsrError } from "../../../errors.ts";
import type { Counters } from "../../../model/rule.ts";
import { type Json, nftFamily } from "./statement.ts";
import { LISTED_COUNTER, TABLE_NAME } from "./table.ts";

export interface ListedRule {
	readonly handle: number;
	readonly comment: string | undefined;
	/** Its expressions, by which it is compared: see {@link canonicalText}. Counters are without numbers. */
	readonly text: string;
	readonly counters: Counters | undefined;
	/** The first map that the rule looks up. */
	readonly map: string | undefined;
}

export interface ListedChain {
	readonly name: string;
	/** All that the chain is beside its rules; absent in chains that are only jumped to. */
	readonly base: { type: Json; hook: Json; priority: Json; policy: Json } | undefined;
	readonly rules: readonly ListedRule[];
}

export interface ListedElement {
	readonly key: bigint;
	/** The number that the bytes of the data are. */
	readonly value: bigint;
	readonly comment: string | undefined;
	readonly counters: Counters | undefined;
}

export interface ListedMap {
	readonly name: string;
	/** Type of the data: `ipv4_addr`, `ipv6_addr`, or `integer` for bits without a name. */
	readonly data: Json;
	/** Undefined when they are not of the form that l3dsr writes. */
	readonly elements: readonly ListedElement[] | undefined;
}

export interface TableListing {
	readonly family: Family;
	/** It has flags, `dormant` and the like, which l3dsr never sets. */
	readonly flagged: boolean;
	readonly chains: ReadonlyMap<string, ListedChain>;
	readonly maps: ReadonlyMap<string, ListedMap>;
	/** Kind and name of everything else. */
	readonly others: readonly { readonly kind: string; readonly name: string }[];
}

type JsonObject = { readonly [key: string]: Json };

/** Throws L3dsrError (PROGRAM_FAILED) when `text` is not what nft prints. */
export function parseListing(text: string, family: Family): TableListing {
	const object = `table ${nftFamily(family)} ${TABLE_NAME}`;
	let root: Json;
	try {
		root = JSON.parse(quoteLargeNumbers(text));
	} catch (cause) {
		// nft 1.0.6 prints rubbish for the flags of a table.
		if (/"table": \{[^}]*"flags": /.test(text)) {
			return { family, flagged: true, chains: new Map(), maps: new Map(), others: [] };
		}
		const message = `list ${object}: nft printed something that is no JSON`;
		throw new L3dsrError({ code: "PROGRAM_FAILED", message }, { cause });
	}
	const items = asArray(member(root, "nftables"));
	let flagged = false;
	const chains = new Map<string, ListedChain & { rules: ListedRule[] }>();
	const maps = new Map<string, ListedMap>();
	const others: { kind: string; name: string }[] = [];
	for (const item of items) {
		for (const [kind, value] of Object.entries(asObject(item))) {
			const body = asObject(value);
			const name = asText(member(body, "name"));
			if (kind === "metainfo") continue;
			if (kind === "table") flagged = member(body, "flags") !== undefined;
			else if (kind === "chain") chains.set(name, { ...parseChain(name, body), rules: [] });
			else if (kind === "rule") chains.get(asText(member(body, "chain")))?.rules.push(parseRule(body));
			else if (kind === "map") maps.set(name, parseMap(name, body));
			else others.push({ kind, name });
		}
	}
	return { family, flagged, chains, maps, others };
}

/** Counters and the bits of addresses have 64 bits, more than a number of JavaScript holds: they become strings. */
function quoteLargeNumbers(json: string): string {
	return json.replace(/"(?:[^"\\]|\\.)*"|-?\d{16,}/g, (token) =>
		token.startsWith('"') ? token : `"${token}"`,
	);
}

function parseChain(name: string, body: JsonObject): Omit<ListedChain, "rules"> {
	const { type, hook, prio, policy } = body;
	if (hook === undefined) return { name, base: undefined };
	return { name, base: { type: type ?? null, hook, priority: prio ?? null, policy: policy ?? null } };
}

function parseRule(body: JsonObject): ListedRule {
	let counters: Counters | undefined;
	let map: string | undefined;
	const expressions = asArray(member(body, "expr") ?? []).map((expression) => {
		const counter = member(expression, "counter");
		if (typeof counter === "object" && counter !== null) {
			counters ??= parseCounters(counter);
			return LISTED_COUNTER_TEXT;
		}
		const data = member(member(member(member(expression, "mangle"), "value"), "map"), "data");
		if (typeof data === "string" && data.startsWith("@")) map ??= data.slice(1);
		return canonicalText(expression);
	});
	const comment = member(body, "comment");
	return {
		handle: Number(member(body, "handle")),
		comment: typeof comment === "string" ? comment : undefined,
		text: expressions.join(),
		counters,
		map,
	};
}

function parseMap(name: string, body: JsonObject): ListedMap {
	const elements = asArray(member(body, "elem") ?? []).map(parseElement);
	const known = elements.filter((element) => element !== undefined);
	return {
		name,
		data: member(body, "map") ?? null,
		elements: known.length === elements.length ? known : undefined,
	};
}

/** `[{"elem": {"val": 4, "comment": "...", "counter": {...}}}, "192.0.2.1"]` */
function parseElement(pair: Json): ListedElement | undefined {
	const [left, right] = Array.isArray(pair) ? (pair as readonly Json[]) : [];
	if (left === undefined || right === undefined) return undefined;
	const body = member(left, "elem") ?? { val: left };
	const key = parseNumber(member(body, "val"));
	const value = parseNumber(right);
	if (key === undefined || value === undefined) return undefined;
	const comment = member(body, "comment");
	const counter = member(body, "counter");
	return {
		key,
		value,
		comment: typeof comment === "string" ? comment : undefined,
		counters: typeof counter === "object" && counter !== null ? parseCounters(counter) : undefined,
	};
}

/** A number, hexadecimal, or an address. A number of which the 64th bit is the highest set is printed as negative. */
function parseNumber(value: Json | undefined): bigint | undefined {
	if (typeof value === "number") return BigInt.asUintN(64, BigInt(value));
	if (typeof value !== "string") return undefined;
	if (/^-\d+$/.test(value)) return BigInt.asUintN(64, BigInt(value));
	if (/^(0x[0-9a-f]+|\d+)$/i.test(value)) return BigInt(value);
	const bytes = value.includes(":") ? parseIpv6(value)?.bytes : parseIpv4Bytes(value);
	return bytes?.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

function parseIpv4Bytes(value: string): number[] | undefined {
	return /^\d+\.\d+\.\d+\.\d+$/.test(value) ? value.split(".").map(Number) : undefined;
}

function parseCounters(counter: Json): Counters {
	return { packets: u64(member(counter, "packets")), bytes: u64(member(counter, "bytes")) };
}

/** nft prints what has the highest bit set as a negative number. */
function u64(value: Json | undefined): bigint {
	return BigInt.asUintN(64, BigInt(typeof value === "string" || typeof value === "number" ? value : 0));
}

/**
 * One text for equal values, whatever the order of their keys and however an IPv6 address is written (glibc
 * writes ::/96 in another form than RFC 5952 does).
 */
export function canonicalText(value: Json): string {
	if (typeof value === "string") {
		return JSON.stringify(value.includes(":") ? (parseIpv6(value)?.text ?? value) : value);
	}
	if (typeof value !== "object" || value === null) return String(value);
	let text = "";
	if (Array.isArray(value)) {
		for (const one of value as readonly Json[]) text += `${canonicalText(one)},`;
		return `[${text}]`;
	}
	const members = value as JsonObject;
	const keys = Object.keys(members);
	if (keys.length > 1) keys.sort();
	for (const key of keys) text += `${key}:${canonicalText(members[key] ?? null)},`;
	return `{${text}}`;
}

const LISTED_COUNTER_TEXT = canonicalText(LISTED_COUNTER);

function member(value: Json | undefined, key: string): Json | undefined {
	return typeof value === "object" && value !== null && !Array.isArray(value)
		? (value as JsonObject)[key]
		: undefined;
}

function asArray(value: Json | undefined): readonly Json[] {
	return Array.isArray(value) ? value : [];
}

function asObject(value: Json): JsonObject {
	return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}

function asText(value: Json | undefined): string {
	return typeof value === "string" ? value : "";
}
