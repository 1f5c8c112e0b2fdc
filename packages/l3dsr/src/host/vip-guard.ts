/** The VIP guard in the kernel: one nftables table, `arp l3dsr`, which l3dsr alone owns. */
import { type Address, parseAddress } from "@l3dsr/packet";
import { L3dsrError } from "../errors.ts";
import { sameValue } from "../model/rule.ts";
import { type ArpSender, sortAddresses, type VipGuard } from "../model/vip-guard.ts";
import type { ProgramRunner } from "./process.ts";

export interface ObservedGuard {
	/** VIPs that it remembers; none when the table is not there. */
	readonly held: readonly Address[];
	/** Absent: no table, or one that somebody has altered (then `altered`). */
	readonly guard?: VipGuard;
	/** The table is there and does not say what l3dsr writes. */
	readonly altered: boolean;
}

export const NO_GUARD: ObservedGuard = Object.freeze({ held: [], altered: false });

const TABLE = "arp l3dsr";
const SETS = { held4: "ipv4_addr", held6: "ipv6_addr", silent4: "ipv4_addr" } as const;
type SetName = keyof typeof SETS;

/** Reads the table. Throws PROGRAM_*. */
export async function observeGuard(programs: ProgramRunner): Promise<ObservedGuard> {
	const { exitCode, stdout, stderr } = await programs.run("nft", [
		"-n",
		"-j",
		"list",
		"table",
		...TABLE.split(" "),
	]);
	if (exitCode === 0) return decodeGuard(stdout);
	if (/No such file or directory/.test(stderr)) return NO_GUARD;
	throw new L3dsrError({
		code: /not permitted|Permission denied/.test(stderr) ? "KERNEL_PERMISSION" : "PROGRAM_FAILED",
		message: `list table ${TABLE}: nft: ${firstLine(stderr)}`,
		...(/not permitted|Permission denied/.test(stderr) ? { hint: "run this as root" } : {}),
	});
}

/** Makes the table say this, in one transaction; undefined takes it away. Nothing to change: no process. */
export async function applyGuard(
	programs: ProgramRunner,
	desired: VipGuard | undefined,
	observed: ObservedGuard,
): Promise<void> {
	const batch = encodeGuardChange(desired, observed);
	if (batch === "") return;
	const { exitCode, stderr } = await programs.run("nft", ["-f", "-"], { input: batch });
	if (exitCode === 0) return;
	throw new L3dsrError({
		code: /not permitted/.test(stderr) ? "KERNEL_PERMISSION" : "PROGRAM_FAILED",
		message: `write table ${TABLE}: nft: ${firstLine(stderr)}`,
		...(/not permitted/.test(stderr)
			? { hint: "run this as root" }
			: { hint: "l3dsr keeps VIPs silent on ARP with it; the kernel needs CONFIG_NF_TABLES_ARP" }),
	});
}

/** The batch from what was observed to what is desired; empty when they are the same. */
export function encodeGuardChange(desired: VipGuard | undefined, observed: ObservedGuard): string {
	if (desired === undefined) {
		return observed.guard === undefined && !observed.altered
			? ""
			: `table ${TABLE} {\n}\ndelete table ${TABLE}\n`;
	}
	if (observed.guard === undefined || !sameValue(observed.guard.senders, desired.senders)) {
		return `table ${TABLE} {\n}\ndelete table ${TABLE}\n${encodeGuard(desired)}`;
	}
	// Elements only: chains stay registered, so not one request slips through meanwhile.
	const before = elementsOf(observed.guard);
	const after = elementsOf(desired);
	return (Object.keys(SETS) as SetName[])
		.flatMap((set) => [
			elementCommand("delete", set, without(before[set], after[set])),
			elementCommand("add", set, without(after[set], before[set])),
		])
		.join("");
}

/** The table as `nft -f` reads it. */
export function encodeGuard(guard: VipGuard): string {
	const elements = elementsOf(guard);
	const sets = (Object.keys(SETS) as SetName[]).map((set) => {
		const list = elements[set].length === 0 ? "" : ` elements = { ${elements[set].join(", ")} };`;
		return `\tset ${set} { type ${SETS[set]};${list} }\n`;
	});
	const senders = guard.senders.map(({ interface: name, neighbours, sender }) => {
		const about =
			neighbours === undefined ? "" : `arp daddr ip ${neighbours.address.text}/${neighbours.length} `;
		return `\t\toifname "${name}" ${about}arp saddr ip @silent4 arp saddr ip set ${sender.text}\n`;
	});
	return `table ${TABLE} {
${sets.join("")}	chain input {
		type filter hook input priority filter; policy accept;
		arp operation request arp daddr ip @silent4 drop
	}
	chain output {
		type filter hook output priority filter; policy accept;
${senders.join("")}		arp saddr ip @silent4 arp saddr ip set 0.0.0.0
	}
}
`;
}

/** What `nft -n -j list table arp l3dsr` prints. */
export function decodeGuard(json: string): ObservedGuard {
	const entries = listOf(fieldOf(JSON.parse(json), "nftables"));
	const elements: Record<SetName, Address[]> = { held4: [], held6: [], silent4: [] };
	const rules: { chain: unknown; expr: unknown }[] = [];
	const chains: unknown[] = [];
	for (const entry of entries) {
		const set = fieldOf(entry, "set");
		const name = fieldOf(set, "name");
		if (name === "held4" || name === "held6" || name === "silent4") {
			elements[name] = listOf(fieldOf(set, "elem")).flatMap((text) => parseAddress(String(text)) ?? []);
		}
		const rule = fieldOf(entry, "rule");
		if (rule !== undefined) rules.push({ chain: fieldOf(rule, "chain"), expr: fieldOf(rule, "expr") });
		const chain = fieldOf(entry, "chain");
		if (chain !== undefined) chains.push(chainShape(chain));
	}
	const held = sortAddresses([...elements.held4, ...elements.held6]);
	const senders = rules.slice(1, -1).map(({ expr }) => decodeSender(expr));
	const guard: VipGuard = {
		held,
		silent: sortAddresses(elements.silent4),
		senders: senders.flatMap((sender) => sender ?? []),
	};
	// Whatever was understood, written again, must be what stands there: then nothing else does.
	const intact = sameValue({ chains, rules: rules.map(canonicalRule) }, expectedListing(guard));
	return intact ? { held, guard, altered: false } : { held, altered: true };
}

function elementsOf({ held, silent }: VipGuard): Record<SetName, string[]> {
	const texts = (addresses: readonly Address[], family: string) =>
		addresses.filter((address) => address.family === family).map(({ text }) => text);
	return { held4: texts(held, "ipv4"), held6: texts(held, "ipv6"), silent4: texts(silent, "ipv4") };
}

function elementCommand(verb: "add" | "delete", set: SetName, elements: readonly string[]): string {
	return elements.length === 0 ? "" : `${verb} element ${TABLE} ${set} { ${elements.join(", ")} }\n`;
}

function without(list: readonly string[], taken: readonly string[]): string[] {
	const gone = new Set(taken);
	return list.filter((entry) => !gone.has(entry));
}

const ARP = (field: string) => ({ payload: { protocol: "arp", field } });
const equals = (left: unknown, right: unknown) => ({ match: { op: "==", left, right } });

function expectedListing({ senders }: VipGuard): unknown {
	const chain = (name: string) => ({ name, type: "filter", hook: name, prio: 0, policy: "accept" });
	const fromVip = equals(ARP("saddr ip"), "@silent4");
	const speakAs = (text: string) => ({ mangle: { key: ARP("saddr ip"), value: text } });
	return {
		chains: [chain("input"), chain("output")],
		rules: [
			{
				chain: "input",
				expr: [equals(ARP("operation"), "request"), equals(ARP("daddr ip"), "@silent4"), { drop: null }],
			},
			...senders.map(({ interface: name, neighbours, sender }) => ({
				chain: "output",
				expr: [
					equals({ meta: { key: "oifname" } }, name),
					...(neighbours === undefined ? [] : [equals(ARP("daddr ip"), prefixValue(neighbours))]),
					fromVip,
					speakAs(sender.text),
				],
			})),
			{ chain: "output", expr: [fromVip, speakAs("0.0.0.0")] },
		],
	};
}

function prefixValue({ address, length }: NonNullable<ArpSender["neighbours"]>): unknown {
	return { prefix: { addr: address.text, len: length } };
}

function chainShape(chain: unknown): unknown {
	const field = (name: string) => fieldOf(chain, name);
	return {
		name: field("name"),
		type: field("type"),
		hook: field("hook"),
		prio: field("prio"),
		policy: field("policy"),
	};
}

/** `nft -n` 1.0.6 prints the ARP operation in the wrong byte order (256), later ones as 1 or by name. */
function canonicalRule({ chain, expr }: { chain: unknown; expr: unknown }): unknown {
	const canonical = listOf(expr).map((statement) => {
		const match = fieldOf(statement, "match");
		const operation = sameValue(fieldOf(match, "left"), ARP("operation"));
		const right = fieldOf(match, "right");
		return operation && (right === 256 || right === 1) ? equals(ARP("operation"), "request") : statement;
	});
	return { chain, expr: canonical };
}

function decodeSender(expr: unknown): ArpSender | undefined {
	const statements = listOf(expr);
	const name = fieldOf(fieldOf(statements[0], "match"), "right");
	const sender = parseAddress(String(fieldOf(fieldOf(statements.at(-1), "mangle"), "value")));
	if (typeof name !== "string" || sender === undefined) return undefined;
	if (statements.length === 3) return { interface: name, sender };
	const prefix = fieldOf(fieldOf(fieldOf(statements[1], "match"), "right"), "prefix");
	const address = parseAddress(String(fieldOf(prefix, "addr")));
	const length = Number(fieldOf(prefix, "len"));
	if (address === undefined || !Number.isInteger(length)) return undefined;
	return { interface: name, neighbours: { address, length }, sender };
}

function firstLine(text: string): string {
	return (
		text
			.trim()
			.split("\n")[0]
			?.replace(/^.*?Error: /, "") ?? ""
	);
}

function listOf(value: unknown): unknown[] {
	return Array.isArray(value) ? value : [];
}

function fieldOf(value: unknown, name: string): unknown {
	return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
