/**
 * Tables of iptables-legacy, which nf_tables does not list, read as iptables-legacy-save reads them
 * (include/uapi/linux/netfilter_ipv4/ip_tables.h, netfilter_ipv6/ip6_tables.h, netfilter/x_tables.h).
 */
import { closeSync, readFileSync } from "node:fs";
import { ERRNO } from "./errno.ts";
import { LinuxError } from "./error.ts";
import { Layout } from "./layout.ts";
import { check, SyscallError } from "./libc.ts";
import { AF_INET, AF_INET6, getsockopt, SOCK_CLOEXEC, SOCK_RAW, socket } from "./socket.ts";

/** IPT_SO_GET_INFO and IPT_SO_GET_ENTRIES; those of IPv6 have the same numbers. */
const GET_INFO = 64;
const GET_ENTRIES = 65;
const IPPROTO_RAW = 255;

const HOOKS = ["prerouting", "input", "forward", "output", "postrouting"] as const;
export type LegacyHook = (typeof HOOKS)[number];

interface FamilyLayout {
	readonly family: number;
	/** Level of the socket options. */
	readonly level: number;
	/** Size of struct ipt_ip or ip6t_ip6, with which an entry begins, in bytes. */
	readonly selector: number;
	readonly names: string;
}

const FAMILIES = {
	ipv4: { family: AF_INET, level: 0, selector: 84, names: "/proc/net/ip_tables_names" },
	ipv6: { family: AF_INET6, level: 41, selector: 136, names: "/proc/net/ip6_tables_names" },
} as const satisfies Readonly<Record<string, FamilyLayout>>;

export type LegacyFamily = keyof typeof FAMILIES;

/** struct ipt_getinfo: the offsets are those of entries. */
const INFO = new Layout({
	name: { text: 32 },
	validHooks: "u32",
	hookEntry: { bytes: 20 },
	underflow: { bytes: 20 },
	entryCount: "u32",
	size: "u32",
});
/** struct ipt_get_entries, whose entries are aligned to 8 bytes. */
const ENTRIES = new Layout({ name: { text: 32 }, size: "u32", _pad: "u32" });
/** The fields after the selector in struct ipt_entry and ip6t_entry. */
const ENTRY_TAIL = new Layout({ cacheInfo: "u32", targetOffset: "u16", nextOffset: "u16", comeFrom: "u32" });
/** struct xt_entry_match and xt_entry_target, without their data. */
const EXTENSION = new Layout({ size: "u16", name: { text: 29 }, revision: "u8" });

/** A match or a target, with the structure of its extension. */
export interface LegacyExtension {
	readonly name: string;
	readonly revision: number;
	readonly info: Uint8Array;
}

export type LegacyTarget =
	| { readonly kind: "extension"; readonly extension: LegacyExtension }
	| { readonly kind: "verdict"; readonly verdict: "accept" | "drop" | "queue" | "return" }
	/** A jump to a chain of the same table, with -j or -g. */
	| { readonly kind: "jump"; readonly chain: string }
	/** A rule without a target, which only counts. */
	| { readonly kind: "none" };

export interface LegacyRule {
	readonly chain: string;
	readonly matches: readonly LegacyExtension[];
	readonly target: LegacyTarget;
}

export interface LegacyChain {
	readonly name: string;
	/** Built-in chains only. */
	readonly base?: { readonly hook: LegacyHook; readonly policy: "accept" | "drop" };
}

export interface LegacyTable {
	readonly family: LegacyFamily;
	readonly name: string;
	readonly chains: readonly LegacyChain[];
	/** In order within each chain, without the policies. */
	readonly rules: readonly LegacyRule[];
}

/** Names of the tables that this network namespace has. A request for any other table would create it. */
export function listLegacyTables(family: LegacyFamily): readonly string[] {
	try {
		return readFileSync(FAMILIES[family].names, "utf8")
			.split("\n")
			.filter((name) => name !== "");
	} catch {
		return []; // a kernel without them, or not root
	}
}

/**
 * Reads a table that {@link listLegacyTables} has returned. Throws SyscallError (EPERM without
 * CAP_NET_ADMIN).
 */
export function readLegacyTable(family: LegacyFamily, name: string): LegacyTable {
	const { family: domain, level } = FAMILIES[family];
	const doing = `read table ${name} of iptables-legacy (${family})`;
	const fd = check(socket(domain, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW), doing);
	try {
		// If the table changes between the two requests, the kernel answers EAGAIN.
		for (let attempt = 0; attempt < 10; attempt++) {
			const info = INFO.encode({ name });
			check(getsockopt(fd, level, GET_INFO, info, lengthOf(info)), doing);
			const { size } = INFO.decode(info);
			const bytes = new Uint8Array(ENTRIES.size + size);
			bytes.set(ENTRIES.encode({ name, size }));
			const result = getsockopt(fd, level, GET_ENTRIES, bytes, lengthOf(bytes));
			if (result === -ERRNO.EAGAIN) continue;
			check(result, doing);
			return decodeLegacyTable(family, info, bytes.subarray(ENTRIES.size));
		}
		throw new SyscallError(doing, ERRNO.EAGAIN);
	} finally {
		closeSync(fd);
	}
}

function lengthOf(bytes: Uint8Array): Uint8Array {
	return new Uint8Array(Uint32Array.of(bytes.byteLength).buffer);
}

interface Entry {
	readonly offset: number;
	readonly next: number;
	readonly matches: readonly LegacyExtension[];
	readonly target: LegacyExtension;
}

/**
 * `info`: struct ipt_getinfo; `entries`: the entry table. Throws LinuxError for bytes that no kernel sends.
 */
export function decodeLegacyTable(family: LegacyFamily, info: Uint8Array, entries: Uint8Array): LegacyTable {
	const { name, validHooks, hookEntry, underflow } = INFO.decode(info);
	const list = decodeEntries(family, entries);
	const bases = HOOKS.flatMap((hook, index) =>
		(validHooks & (1 << index)) === 0
			? []
			: [{ hook, first: word(hookEntry, index * 4), last: word(underflow, index * 4) }],
	);
	const chains: LegacyChain[] = [];
	/** Chains by the offset of their first rule, which is the destination of a jump. */
	const named = new Map<number, string>();
	for (const { offset, next, target } of list) {
		// Such an entry also ends the table; nothing follows it.
		if (target.name === "ERROR" && next < entries.byteLength) named.set(next, text(target.info));
		const base = bases.find(({ last }) => last === offset);
		const policy = verdictOf(target, next) === "drop" ? "drop" : "accept";
		if (base !== undefined) chains.push({ name: base.hook.toUpperCase(), base: { hook: base.hook, policy } });
		else if (named.has(next)) chains.push({ name: named.get(next) ?? "" });
	}
	const rules: LegacyRule[] = [];
	let chain: string | undefined;
	for (const [index, { offset, next, matches, target }] of list.entries()) {
		const base = bases.find(({ first, last }) => first <= offset && offset <= last);
		chain = base?.hook.toUpperCase() ?? named.get(offset) ?? chain;
		// A built-in chain ends with its policy, any other with an implicit return.
		const isLast = base === undefined ? list[index + 1]?.target.name === "ERROR" : base.last === offset;
		if (chain === undefined || target.name === "ERROR" || isLast) continue;
		rules.push({ chain, matches, target: targetOf(target, next, named) });
	}
	return { family, name, chains, rules };
}

function decodeEntries(family: LegacyFamily, bytes: Uint8Array): Entry[] {
	const { selector } = FAMILIES[family];
	const list: Entry[] = [];
	for (let offset = 0; offset < bytes.byteLength; ) {
		const entry = bytes.subarray(offset);
		const { targetOffset, nextOffset } = ENTRY_TAIL.decode(entry.subarray(selector));
		// The tail, rounded up to a multiple of 8, and two counters of 64 bits.
		const header = Math.ceil((selector + ENTRY_TAIL.size) / 8) * 8 + 16;
		if (
			targetOffset < header ||
			nextOffset < targetOffset + EXTENSION.size ||
			nextOffset > entry.byteLength
		) {
			throw new LinuxError(
				"UNSUPPORTED",
				`read a table of iptables-legacy: entry at ${offset} has no valid size`,
			);
		}
		const matches: LegacyExtension[] = [];
		for (let at = header; at < targetOffset; ) {
			const { size, extension } = decodeExtension(entry.subarray(at, targetOffset));
			matches.push(extension);
			at += size;
		}
		const { extension: target } = decodeExtension(entry.subarray(targetOffset, nextOffset));
		list.push({ offset, next: offset + nextOffset, matches, target });
		offset += nextOffset;
	}
	return list;
}

function decodeExtension(bytes: Uint8Array): { size: number; extension: LegacyExtension } {
	const { size, name, revision } = EXTENSION.decode(bytes);
	if (size < EXTENSION.size || size > bytes.byteLength) {
		throw new LinuxError(
			"UNSUPPORTED",
			`read a table of iptables-legacy: extension ${JSON.stringify(name)} has no valid size`,
		);
	}
	return { size, extension: { name, revision, info: bytes.slice(EXTENSION.size, size) } };
}

/** XT_STANDARD_TARGET: verdicts are -1 - NF_*, XT_RETURN is -1 - NF_REPEAT; others are offsets to jump to. */
const VERDICTS = new Map([
	[-1, "drop"],
	[-2, "accept"],
	[-4, "queue"],
	[-5, "return"],
] as const);

function verdictOf({ name, info }: LegacyExtension, next: number) {
	if (name !== "") return undefined;
	const value = word(info, 0) | 0;
	return VERDICTS.get(value as -1) ?? (value === next ? "none" : value);
}

function targetOf(target: LegacyExtension, next: number, named: ReadonlyMap<number, string>): LegacyTarget {
	const verdict = verdictOf(target, next);
	if (verdict === undefined) return { kind: "extension", extension: target };
	if (verdict === "none") return { kind: "none" };
	if (typeof verdict !== "number") return { kind: "verdict", verdict };
	const chain = named.get(verdict);
	if (chain === undefined) {
		throw new LinuxError(
			"UNSUPPORTED",
			`read a table of iptables-legacy: a rule jumps to ${verdict}, where no chain begins`,
		);
	}
	return { kind: "jump", chain };
}

function word(bytes: Uint8Array, offset: number): number {
	return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(offset, true);
}

function text(bytes: Uint8Array): string {
	const end = bytes.indexOf(0);
	return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
