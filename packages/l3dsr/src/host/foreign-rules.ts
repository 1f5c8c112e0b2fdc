/** What rules of others do to the packets of services, read from `nft -n -j list ruleset`. Pure. */
import type { Family } from "@l3dsr/packet";

/** A rule of somebody else's, and where packets come to it. */
export interface ForeignRule {
	/** `table ip mangle, chain PREROUTING`. */
	readonly place: string;
	/** Of the base chain from which packets come to it. */
	readonly hook: string;
	/** Netfilter priority of that base chain; smaller runs earlier. */
	readonly priority: number;
	/** Whose packets it sees; absent: both. */
	readonly family?: Family;
}

/** Writes DSCP. */
export interface DscpWriter extends ForeignRule {
	/** What it writes, where that can be told. */
	readonly value?: number;
}

export interface ForeignRules {
	readonly dscpWriters: readonly DscpWriter[];
	/** Rules that drop packets whose sender is not routed back (`fib saddr . iif oif missing drop`, rpfilter). */
	readonly reversePathFilters: readonly ForeignRule[];
	/** Places of iptables rules with the old module's target. */
	readonly moduleRules: readonly string[];
}

interface Base {
	readonly hook: string;
	readonly priority: number;
}

export function decodeForeignRules(json: string): ForeignRules {
	const entries = json.trim() === "" ? [] : listOf(fieldOf(JSON.parse(json), "nftables"));
	const rules = entries.flatMap((entry) => {
		const rule = fieldOf(entry, "rule");
		return rule === undefined || fieldOf(rule, "table") === "l3dsr" ? [] : [rule];
	});
	const basesOf = baseChains(entries, rules);
	const dscpWriters: DscpWriter[] = [];
	const reversePathFilters: ForeignRule[] = [];
	const moduleRules: string[] = [];
	for (const rule of rules) {
		const place = placeOf(rule, "chain");
		const statements = listOf(fieldOf(rule, "expr"));
		const family = familyOf(rule, statements);
		const at = basesOf(place).map(
			(base): ForeignRule => ({
				place,
				...base,
				...(family === undefined ? {} : { family }),
			}),
		);
		for (const statement of statements) {
			const target = fieldOf(fieldOf(statement, "xt"), "name");
			if (target === "DADDR") moduleRules.push(place);
			const mangle = fieldOf(statement, "mangle");
			const payload = fieldOf(fieldOf(mangle, "key"), "payload");
			if (fieldOf(payload, "field") !== "dscp" && target !== "DSCP" && target !== "TOS") continue;
			const value = fieldOf(mangle, "value");
			dscpWriters.push(...at.map((one) => ({ ...one, ...(typeof value === "number" ? { value } : {}) })));
		}
		const drops = statements.some((statement) => fieldOf(statement, "drop") !== undefined);
		if (drops && statements.some(asksWayBack)) reversePathFilters.push(...at);
	}
	return { dscpWriters, reversePathFilters, moduleRules };
}

/** Whether a statement asks if the sender of a packet would be routed back. */
function asksWayBack(statement: unknown): boolean {
	if (fieldOf(fieldOf(statement, "xt"), "name") === "rpfilter") return true;
	const fib = fieldOf(fieldOf(fieldOf(statement, "match"), "left"), "fib");
	const flags = listOf(fieldOf(fib, "flags"));
	return flags.includes("saddr") && flags.includes("iif") && fieldOf(fib, "result") !== "type";
}

/** From which base chains packets come to a chain: it may be one, or be jumped to, also by way of others. */
function baseChains(entries: readonly unknown[], rules: readonly unknown[]): (place: string) => Base[] {
	const bases = new Map<string, Base>();
	for (const entry of entries) {
		const chain = fieldOf(entry, "chain");
		const hook = fieldOf(chain, "hook");
		if (typeof hook !== "string") continue;
		bases.set(placeOf(chain, "name"), { hook, priority: Number(fieldOf(chain, "prio") ?? 0) });
	}
	const callers = new Map<string, Set<string>>();
	for (const rule of rules) {
		for (const target of jumpTargets(fieldOf(rule, "expr"))) {
			const callee = placeOf({ ...Object(rule), chain: target }, "chain");
			callers.set(callee, (callers.get(callee) ?? new Set()).add(placeOf(rule, "chain")));
		}
	}
	return (place) => {
		const seen = new Set([place]);
		for (const one of seen) for (const caller of callers.get(one) ?? []) seen.add(caller);
		return [...seen].flatMap((one) => bases.get(one) ?? []);
	};
}

/** Chains that a rule sends packets to: by itself, or by a verdict map. */
function jumpTargets(expression: unknown): string[] {
	if (typeof expression !== "object" || expression === null) return [];
	if (Array.isArray(expression)) return expression.flatMap(jumpTargets);
	return Object.entries(expression).flatMap(([key, value]) => {
		const target = fieldOf(value, "target");
		return (key === "jump" || key === "goto") && typeof target === "string" ? [target] : jumpTargets(value);
	});
}

const NFPROTO: Readonly<Record<number, Family>> = { 2: "ipv4", 10: "ipv6" };
const PROTOCOL: Readonly<Record<string, Family>> = { ip: "ipv4", ip6: "ipv6" };

function familyOf(rule: unknown, statements: readonly unknown[]): Family | undefined {
	const ofTable = PROTOCOL[String(fieldOf(rule, "family"))];
	if (ofTable !== undefined) return ofTable;
	for (const statement of statements) {
		const match = fieldOf(statement, "match");
		const left = fieldOf(match, "left");
		const payload = fieldOf(left ?? fieldOf(fieldOf(statement, "mangle"), "key"), "payload");
		const byProtocol = PROTOCOL[String(fieldOf(payload, "protocol"))];
		const byNumber =
			fieldOf(fieldOf(left, "meta"), "key") === "nfproto"
				? NFPROTO[Number(fieldOf(match, "right"))]
				: undefined;
		const found = byProtocol ?? byNumber;
		if (found !== undefined) return found;
	}
	return undefined;
}

function placeOf(object: unknown, chainField: "name" | "chain"): string {
	const [family, table, chain] = ["family", "table", chainField].map((name) => String(fieldOf(object, name)));
	return `table ${family} ${table}, chain ${chain}`;
}

function listOf(value: unknown): unknown[] {
	return Array.isArray(value) ? value : [];
}

function fieldOf(value: unknown, name: string): unknown {
	return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
