/** The VIP guard in the kernel: one table of nf_tables, `arp l3dsr`, which l3dsr alone owns. */
import {
	assign,
	type Command,
	dataType,
	type Expression,
	expressionKey,
	field,
	type GenerationStep,
	match,
	meta,
	Nftables,
	NftablesError,
	nextGeneration,
	type Rule,
	type SetSpec,
	type TableContents,
	verdict,
} from "@l3dsr/nftables";
import { type Address, addressFromBytes } from "@l3dsr/packet";
import { sameValue } from "../model/rule.ts";
import { type ArpSender, sortAddresses, type VipGuard } from "../model/vip-guard.ts";

export interface ObservedGuard {
	/** VIPs that it records; none if the table does not exist. */
	readonly held: readonly Address[];
	/** VIPs that were on `lo` before. */
	readonly found: readonly Address[];
	/** Absent: no table, or one that somebody has changed (then `altered`). */
	readonly guard?: VipGuard;
	/** The table exists but does not contain what l3dsr writes. */
	readonly altered: boolean;
}

export const NO_GUARD: ObservedGuard = Object.freeze({ held: [], found: [], altered: false });

export const GUARD_TABLE = { family: "arp", name: "l3dsr" } as const;
const SETS = {
	held4: "ipv4_addr",
	held6: "ipv6_addr",
	found4: "ipv4_addr",
	found6: "ipv6_addr",
	silent4: "ipv4_addr",
} as const;
type SetName = keyof typeof SETS;
const SET_NAMES = Object.keys(SETS) as SetName[];
/** Tables of earlier builds lack these while they are empty. */
const ADDED_LATER: ReadonlySet<SetName> = new Set(["found4", "found6"]);
const CHAINS = ["input", "output"] as const;
/** Somebody else may delete the table, or an element of it, between our read and our change. */
const ATTEMPTS = 4;

/** Opens nf_tables of this network namespace, or of another one. */
type Open = () => Nftables;
const here: Open = () => new Nftables();

/** Reads the table. Throws NftablesError. */
export function observeGuard(open: Open = here): ObservedGuard {
	using nftables = open();
	return readGuard(nftables);
}

/**
 * The same for repeated reads from one network namespace: the table is read again only if nf_tables has
 * changed.
 */
export function guardObserver(open: Open = here): () => ObservedGuard {
	let last: { readonly generation: number; readonly guard: ObservedGuard } | undefined;
	return () => {
		using nftables = open();
		if (last?.generation === nftables.generation()) return last.guard;
		const { generation, tables } = nftables.read([GUARD_TABLE]);
		last = { generation, guard: guardIn(tables) };
		return last.guard;
	};
}

/**
 * Sets the table to this state, in one transaction; undefined deletes it. Returns the generations before and after,
 * unless another process has also changed nf_tables. Throws NftablesError.
 */
export function applyGuard(
	desired: VipGuard | undefined,
	observed: ObservedGuard,
	open: Open = here,
): GenerationStep | undefined {
	using nftables = open();
	let current = observed;
	for (let attempt = 1; ; attempt++) {
		const commands = planGuardChange(desired, current);
		try {
			const step = transactAlone(nftables, commands);
			if (step === undefined) nftables.transact(commands);
			return step;
		} catch (error) {
			const raced = error instanceof NftablesError && error.errno === "ENOENT";
			if (!raced || attempt === ATTEMPTS) throw explained(error);
		}
		current = readGuard(nftables);
	}
}

/** Undefined: another process was faster, and nothing has changed. */
function transactAlone(nftables: Nftables, commands: readonly Command[]): GenerationStep | undefined {
	const before = nftables.generation();
	if (commands.length === 0) return { before, after: before };
	try {
		nftables.transact(commands, { generation: before });
		return { before, after: nextGeneration(before) };
	} catch (error) {
		if (error instanceof NftablesError && error.code === "CHANGED") return undefined;
		throw error;
	}
}

function readGuard(nftables: Nftables): ObservedGuard {
	return guardIn(nftables.read([GUARD_TABLE]).tables);
}

function guardIn([contents]: readonly TableContents[]): ObservedGuard {
	return contents === undefined ? NO_GUARD : decodeGuard(contents);
}

function explained(error: unknown): unknown {
	if (!(error instanceof NftablesError) || error.code !== "UNSUPPORTED") return error;
	const hint = "l3dsr uses it to suppress ARP for VIPs; the kernel needs CONFIG_NF_TABLES_ARP";
	return new NftablesError(error.code, error.message, { errno: error.errno, hint, cause: error });
}

/** The commands from observed to desired; empty if they are the same. */
export function planGuardChange(desired: VipGuard | undefined, observed: ObservedGuard): readonly Command[] {
	// "Add" ensures that there is something to delete.
	const remove: readonly Command[] = [
		{ do: "add table", table: GUARD_TABLE },
		{ do: "delete table", table: GUARD_TABLE },
	];
	if (desired === undefined) return observed.guard === undefined && !observed.altered ? [] : remove;
	if (observed.guard === undefined || !sameValue(observed.guard.senders, desired.senders)) {
		return [...remove, ...makeGuard(desired)];
	}
	// Elements only: chains stay registered, so no request slips through meanwhile.
	const before = elementsOf(observed.guard);
	const after = elementsOf(desired);
	return SET_NAMES.flatMap((name) => [
		...elementCommand("delete elements", name, without(before[name], after[name])),
		...(ADDED_LATER.has(name) && before[name].length === 0 && after[name].length > 0
			? [{ do: "add set", table: GUARD_TABLE, set: setOf(name) } as const]
			: []),
		...elementCommand("add elements", name, without(after[name], before[name])),
	]);
}

function makeGuard(guard: VipGuard): Command[] {
	const elements = elementsOf(guard);
	return [
		{ do: "add table", table: GUARD_TABLE },
		...SET_NAMES.flatMap((name): Command[] => [
			{ do: "add set", table: GUARD_TABLE, set: setOf(name) },
			...elementCommand("add elements", name, elements[name]),
		]),
		...CHAINS.map((hook): Command => {
			const base = { type: "filter", hook, priority: 0, policy: "accept" } as const;
			return { do: "add chain", table: GUARD_TABLE, chain: { name: hook, base } };
		}),
		...rulesOf(guard).map(({ chain, expressions }): Command => {
			return { do: "add rule", table: GUARD_TABLE, chain, rule: { expressions } };
		}),
	];
}

function setOf(name: SetName): SetSpec {
	return { name, key: { type: dataType(SETS[name]) } };
}

function elementsOf({ held, found, silent }: VipGuard): Readonly<Record<SetName, readonly Address[]>> {
	const of = (addresses: readonly Address[], family: string) =>
		addresses.filter((address) => address.family === family);
	return {
		held4: of(held, "ipv4"),
		held6: of(held, "ipv6"),
		found4: of(found, "ipv4"),
		found6: of(found, "ipv6"),
		silent4: of(silent, "ipv4"),
	};
}

function elementCommand(
	verb: "add elements" | "delete elements",
	name: SetName,
	addresses: readonly Address[],
): Command[] {
	if (addresses.length === 0) return [];
	const elements = addresses.map(({ bytes }) => ({ key: Uint8Array.from(bytes) }));
	return [{ do: verb, table: GUARD_TABLE, set: setOf(name), elements }];
}

function without(list: readonly Address[], taken: readonly Address[]): Address[] {
	const gone = new Set(taken.map(({ text }) => text));
	return list.filter(({ text }) => !gone.has(text));
}

interface GuardRule {
	readonly chain: (typeof CHAINS)[number];
	readonly expressions: readonly Expression[];
}

const SILENT = { set: "silent4" satisfies SetName };
const ARPOP_REQUEST = 1;

function rulesOf({ senders }: VipGuard): GuardRule[] {
	const fromVip = match(field("arp saddr ip"), "==", SILENT);
	const speakAs = ({ bytes }: Pick<Address, "bytes">) =>
		assign(field("arp saddr ip"), Uint8Array.from(bytes));
	return [
		{
			chain: "input",
			expressions: [
				...match(field("arp operation"), "==", ARPOP_REQUEST),
				...match(field("arp daddr ip"), "==", SILENT),
				verdict("drop"),
			],
		},
		...senders.map(({ interface: name, neighbours, sender }): GuardRule => {
			const about =
				neighbours === undefined ? [] : match(field("arp daddr ip"), "==", prefixValue(neighbours));
			return {
				chain: "output",
				expressions: [
					...match(meta("oifname"), "==", { name, wildcard: false }),
					...about,
					...fromVip,
					...speakAs(sender),
				],
			};
		}),
		{ chain: "output", expressions: [...fromVip, ...speakAs({ bytes: [0, 0, 0, 0] })] },
	];
}

function prefixValue({ address, length }: NonNullable<ArpSender["neighbours"]>): {
	readonly prefix: Uint8Array;
	readonly length: number;
} {
	return { prefix: Uint8Array.from(address.bytes), length };
}

/** The meaning of a table, however it was written. */
function decodeGuard(contents: TableContents): ObservedGuard {
	const elements = (name: SetName): Address[] => {
		const set = contents.sets.find((one) => one.name === name && one.key.type.name === SETS[name]);
		return (set?.elements ?? []).flatMap(({ key }) => (key === undefined ? [] : [addressFromBytes(key)]));
	};
	const held = sortAddresses([...elements("held4"), ...elements("held6")]);
	const found = sortAddresses([...elements("found4"), ...elements("found6")]);
	const senders = contents.rules
		.filter(({ chain }) => chain === "output")
		.slice(0, -1)
		.flatMap((rule) => decodeSender(rule) ?? []);
	const guard: VipGuard = { held, found, silent: sortAddresses(elements("silent4")), senders };
	// Encoding the decoded state again must give exactly the table: then it contains nothing else.
	const intact = sameValue(shapeOf(contents.chains, contents.rules), shapeOf(INTACT_CHAINS, rulesOf(guard)));
	return intact ? { held, found, guard, altered: false } : { held, found, altered: true };
}

const INTACT_CHAINS = CHAINS.map((hook) => ({
	name: hook,
	base: { type: "filter", hook, priority: 0, policy: "accept" } as const,
}));

function shapeOf(
	chains: readonly Pick<TableContents["chains"][number], "name" | "base">[],
	rules: readonly { readonly chain: string; readonly expressions: readonly Expression[] }[],
): unknown {
	return {
		chains: chains.map(({ name, base }) => ({ name, base })),
		rules: rules.map(({ chain, expressions }) => `${chain} ${expressions.map(expressionKey).join("\n")}`),
	};
}

function decodeSender({ expressions }: Rule): ArpSender | undefined {
	const name = expressions.find((one) => one.kind === "compare")?.value;
	const sender = expressions.findLast((one) => one.kind === "immediate")?.value;
	if (name === undefined || sender?.length !== 4) return undefined;
	const common = {
		interface: Buffer.from(name).toString("utf8").replace(/\0.*$/s, ""),
		sender: addressFromBytes(sender),
	};
	const neighbours = decodePrefix(expressions);
	return neighbours === undefined ? common : { ...common, neighbours };
}

/** From the second comparison, if any: all bytes that it loads, or the bits of its mask. */
function decodePrefix(expressions: readonly Expression[]): ArpSender["neighbours"] {
	const [, compare] = expressions.filter((one) => one.kind === "compare");
	if (compare === undefined || compare.value.length > 4) return undefined;
	const bytes = new Uint8Array(4);
	bytes.set(compare.value);
	const mask = expressions.find((one) => one.kind === "bitwise" && one.operation === "mask");
	const length =
		mask?.kind === "bitwise" && mask.operation === "mask"
			? [...mask.mask].reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0)
			: compare.value.length * 8;
	return { address: addressFromBytes(bytes), length };
}
