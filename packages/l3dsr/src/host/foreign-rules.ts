/** What foreign rules do to the packets of services, read from all of nf_tables. Pure. */
import {
	bytesNumber,
	type Expression,
	type Payload,
	type TableContents,
	type Verdict,
} from "@l3dsr/nftables";
import type { Family } from "@l3dsr/packet";

/** A foreign rule, and the place where packets reach it. */
export interface ForeignRule {
	/** `table ip mangle, chain PREROUTING`. */
	readonly place: string;
	/** The hook of the base chain from which packets reach it. */
	readonly hook: string;
	/** Netfilter priority of that base chain; smaller runs earlier. */
	readonly priority: number;
	/** Whose packets it sees; absent: both. */
	readonly family?: Family;
}

/** Writes DSCP. */
export interface DscpWriter extends ForeignRule {
	/** What it writes, if known. */
	readonly value?: number;
}

/** Drops packets whose sender is not routed back (`fib saddr . iif oif missing drop`, rpfilter). */
export interface ReversePathRule extends ForeignRule {
	/** They have to be routed back through the interface on which they arrived. */
	readonly strict: boolean;
}

export interface ForeignRules {
	readonly dscpWriters: readonly DscpWriter[];
	readonly reversePathFilters: readonly ReversePathRule[];
	/** Rules that match the state of connection tracking (`ct state invalid drop`). */
	readonly trackers: readonly ForeignRule[];
	/** Places where packets may be dropped or refused: chains with such a verdict or policy. */
	readonly filters: readonly string[];
	/** Places of rules that redirect incoming packets (NAT of a container, a transparent proxy). */
	readonly redirects: readonly string[];
	/** Places of iptables rules with the old module's target. */
	readonly moduleRules: readonly string[];
}

interface Base {
	readonly hook: string;
	readonly priority: number;
}

/** A rule in place. */
interface PlacedRule {
	readonly place: string;
	readonly table: TableContents;
	readonly expressions: readonly Expression[];
}

/** Our own tables are left out. Of sets, only those with verdicts need their elements. */
export function findForeignRules(all: readonly TableContents[]): ForeignRules {
	const tables = all.filter(({ name }) => name !== "l3dsr");
	const rules = tables.flatMap((table) =>
		table.rules.map(
			({ chain, expressions }): PlacedRule => ({ place: placeOf(table, chain), table, expressions }),
		),
	);
	const basesOf = baseChains(tables, rules);
	const dscpWriters: DscpWriter[] = [];
	const reversePathFilters: ReversePathRule[] = [];
	const trackers: ForeignRule[] = [];
	const filters = new Set(
		tables.flatMap((table) =>
			table.chains
				.filter(({ base }) => base?.policy === "drop" && FILTERING.has(base.hook))
				.map(({ name }) => placeOf(table, name)),
		),
	);
	const moduleRules: string[] = [];
	const redirects = new Set<string>();
	for (const { place, table, expressions } of rules) {
		const family = familyOf(table, expressions);
		const at = basesOf(place).map((base): ForeignRule => {
			return { place, ...base, ...(family === undefined ? {} : { family }) };
		});
		for (const [index, one] of expressions.entries()) {
			const target = one.kind === "target" ? one.name : undefined;
			if (target === "DADDR") moduleRules.push(place);
			const written = target === "DSCP" || target === "TOS" ? {} : dscpWritten(expressions, index, family);
			if (written !== undefined) dscpWriters.push(...at.map((rule) => ({ ...rule, ...written })));
		}
		if (expressions.some(sendsElsewhere) && at.some(({ hook }) => hook === "prerouting"))
			redirects.add(place);
		if (expressions.some(asksTracking)) trackers.push(...at);
		if (!expressions.some(drops)) continue;
		const strict = expressions.map(asksWayBack).find((found) => found !== undefined);
		if (strict !== undefined) reversePathFilters.push(...at.map((rule) => ({ ...rule, strict })));
		else if (at.some(({ hook }) => FILTERING.has(hook))) filters.add(place);
	}
	return {
		dscpWriters,
		reversePathFilters,
		trackers,
		filters: [...filters],
		redirects: [...redirects],
		moduleRules,
	};
}

/** Hooks that packets to services, and their answers, pass. */
const FILTERING: ReadonlySet<string> = new Set([
	"ingress",
	"prerouting",
	"input",
	"output",
	"postrouting",
	"egress",
]);

function drops(one: Expression): boolean {
	if (one.kind === "target") return one.name === "REJECT";
	return (one.kind === "verdict" && one.verdict === "drop") || one.kind === "reject";
}

const REDIRECTING = ["DNAT", "REDIRECT", "TPROXY"];

function sendsElsewhere(one: Expression): boolean {
	if (one.kind === "target") return REDIRECTING.includes(one.name);
	return one.kind === "other" && ["nat", "redir", "tproxy"].includes(one.name);
}

function asksTracking(one: Expression): boolean {
	return one.kind === "ct" || (one.kind === "match" && (one.name === "conntrack" || one.name === "state"));
}

/** XT_RPFILTER_LOOSE of include/uapi/linux/netfilter/xt_rpfilter.h. */
const XT_RPFILTER_LOOSE = 1;

/** Whether an expression tests if the sender of a packet is routed back: undefined if not, else how strictly. */
function asksWayBack(one: Expression): boolean | undefined {
	if (one.kind === "match" && one.name === "rpfilter") {
		return ((one.info[0] ?? 0) & XT_RPFILTER_LOOSE) === 0;
	}
	const asks = one.kind === "fib" && one.flags.includes("saddr") && one.result !== "type";
	return asks ? one.flags.includes("iif") : undefined;
}

/** The DSCP's bits in the first two bytes of the header. */
const DSCP_BITS: Readonly<Record<Family, bigint>> = { ipv4: 0x00fcn, ipv6: 0x0fc0n };

/** What the expression at `index` writes into the DSCP; undefined if it does not write there. */
function dscpWritten(
	expressions: readonly Expression[],
	index: number,
	family: Family | undefined,
): { readonly value?: number } | undefined {
	const write = expressions[index];
	if (write?.kind !== "payload write" || write.base !== "network" || write.offset >= 2) return undefined;
	// What is written to the first two bytes of the header, and which of their bits change.
	const shift = BigInt(8 * (2 - write.offset - Math.min(write.length, 2 - write.offset)));
	const written = expressions
		.slice(0, index)
		.findLast((one) => "register" in one && one.register === write.register && one.kind !== "payload");
	const head = (bytes: Uint8Array): bigint => bytesNumber(bytes.subarray(0, 2 - write.offset)) << shift;
	const whole = head(new Uint8Array(write.length).fill(0xff));
	const isMasked = written?.kind === "bitwise" && written.operation === "mask";
	const changed = isMasked ? whole & ~head(written.mask) : whole;
	const bits = (Object.keys(DSCP_BITS) as Family[])
		.filter((one) => (family ?? one) === one)
		.map((one) => DSCP_BITS[one])
		.find((one) => (changed & one) === one);
	if (bits === undefined) return undefined;
	const value = isMasked
		? head(written.xor)
		: written?.kind === "immediate"
			? head(written.value)
			: undefined;
	return value === undefined ? {} : { value: Number((value & bits) / (bits & -bits)) };
}

/** The base chains from which packets reach a chain: itself, or chains that jump to it, directly or through others. */
function baseChains(
	tables: readonly TableContents[],
	rules: readonly PlacedRule[],
): (place: string) => Base[] {
	const bases = new Map<string, Base>();
	for (const table of tables) {
		for (const { name, base } of table.chains) {
			if (base !== undefined) bases.set(placeOf(table, name), { hook: base.hook, priority: base.priority });
		}
	}
	const callers = new Map<string, Set<string>>();
	for (const { place, table, expressions } of rules) {
		for (const target of expressions.flatMap((one) => jumpTargets(one, table))) {
			const callee = placeOf(table, target);
			callers.set(callee, (callers.get(callee) ?? new Set()).add(place));
		}
	}
	return (place) => {
		const seen = new Set([place]);
		for (const one of seen) for (const caller of callers.get(one) ?? []) seen.add(caller);
		return [...seen].flatMap((one) => bases.get(one) ?? []);
	};
}

/** Chains that an expression jumps to: directly, or by a verdict map. */
function jumpTargets(one: Expression, { sets }: TableContents): string[] {
	if (one.kind === "verdict") return one.chain === undefined ? [] : [one.chain];
	if (one.kind !== "lookup" || one.destination !== 0) return [];
	const { set } = one;
	const elements = typeof set === "string" ? sets.find(({ name }) => name === set)?.elements : set.elements;
	return (elements ?? []).flatMap(({ data }) => (isVerdict(data) ? (data.chain ?? []) : []));
}

function isVerdict(data: Uint8Array | Verdict | undefined): data is Verdict {
	return data !== undefined && !(data instanceof Uint8Array);
}

const NFPROTO: Readonly<Record<number, Family>> = { 2: "ipv4", 10: "ipv6" };
const TABLE_FAMILY: Readonly<Record<string, Family>> = { ip: "ipv4", ip6: "ipv6" };
/** In network order, as in `meta protocol`. */
const ETHER_TYPE: Readonly<Record<number, Family>> = { 2048: "ipv4", 34525: "ipv6" };

/** From the table, or from the rule's own matches. */
function familyOf(table: TableContents, expressions: readonly Expression[]): Family | undefined {
	const ofTable = TABLE_FAMILY[table.family];
	if (ofTable !== undefined) return ofTable;
	for (const [at, one] of expressions.entries()) {
		const compared = expressions[at + 1];
		if (compared?.kind !== "compare" || compared.operator !== "==") continue;
		const value = Number(bytesNumber(compared.value));
		const found = isMeta(one, "nfproto")
			? NFPROTO[value]
			: asksEtherType(one)
				? ETHER_TYPE[value]
				: undefined;
		if (found !== undefined) return found;
	}
	return undefined;
}

function isMeta(one: Expression, key: string): boolean {
	return one.kind === "meta" && one.key === key;
}

function asksEtherType(one: Expression): boolean {
	const isType = ({ base, offset, length }: Payload): boolean =>
		base === "link" && offset === 12 && length === 2;
	return isMeta(one, "protocol") || (one.kind === "payload" && isType(one));
}

function placeOf({ family, name }: TableContents, chain: string): string {
	return `table ${family} ${name}, chain ${chain}`;
}
