/** A netlink socket to nf_tables in one network namespace: transactions and dumps. */
import { ERRNO, isKernelAtLeast, NETLINK_PROTOCOL, Netlink, SyscallError } from "@l3dsr/linux";
import { AttributeWriter } from "./attribute-writer.ts";
import type { Codec } from "./codec.ts";
import type { Command } from "./command.ts";
import { elementKey, ruleCounter, type TableCounters } from "./counted.ts";
import { integerType } from "./data-type.ts";
import {
	decodeChain,
	decodeElementList,
	decodeFlowtable,
	decodeGeneration,
	decodeObject,
	decodeRule,
	decodeSetHead,
	decodeTable,
	MessageBody,
	type Owned,
} from "./decode.ts";
import type { AnonymousSet, Counter } from "./element.ts";
import { encodeCommands, writeHeader } from "./encode.ts";
import { NftablesError } from "./error.ts";
import type { Expression } from "./expression.ts";
import { ExpressionReader } from "./expression-codec.ts";
import type { TableMemory } from "./memory.ts";
import { RulesetMonitor } from "./monitor.ts";
import {
	chain as chainCodec,
	elements as elementsCodec,
	flowtable as flowtableCodec,
	object as objectCodec,
	rule as ruleCodec,
	set as setCodec,
	table as tableCodec,
	VERDICT_TYPE,
	type WireElement,
	type WireSet,
} from "./object-codec.ts";
import { batchOf, type PreparedTransaction } from "./prepared.ts";
import { CHANGING, refusedCommand, translated } from "./refusal.ts";
import type { Rule, Snapshot, Table, TableContents, TableId } from "./ruleset.ts";
import { decodeAnonymousSet, decodeSet } from "./set-codec.ts";
import { NFGENMSG, NFT_MSG, OBJECT_TYPES } from "./uapi.ts";

/** How often a changing ruleset is read before that is an error. */
const READINGS = 64;

/** `element counters`: elements of sets and maps count packets (Linux 5.7). */
export type Feature = "element counters";

const PROBED = { family: "ip", name: "nftables-probe" } as const;

/**
 * Transactions that every kernel refuses in the end. A kernel that knows the feature refuses the command
 * `refused` first; older kernels ignore attributes that they do not know.
 */
const PROBES: {
	readonly [feature in Feature]: {
		/**
		 * The Linux version (major and minor) that introduced the feature. Older kernels may have a backport
		 * (Enterprise Linux).
		 */
		readonly since: readonly [number, number];
		readonly commands: readonly Command[];
		readonly refused: number;
	};
} = {
	"element counters": {
		since: [5, 7],
		commands: [
			{ do: "add table", table: PROBED },
			{
				do: "add set",
				table: PROBED,
				set: { name: "s", key: { type: integerType(1) }, counters: "refused" },
			},
			{ do: "delete set", table: PROBED, set: "nothing" },
		],
		refused: 1,
	},
};

export interface ReadOptions {
	/**
	 * `verdicts`: read only the elements of verdict maps among the named sets. Other sets may have a hundred
	 * thousand elements.
	 */
	readonly elements?: "verdicts";
	/** Speeds up repeated readings of the same network namespace. */
	readonly memory?: TableMemory;
}

export interface TransactOptions {
	/** Refuse the transaction (`CHANGED`) unless the ruleset still has this generation ({@link Snapshot}). */
	readonly generation?: number;
}

export class Nftables implements Disposable {
	readonly #netlink: Netlink;

	/**
	 * Opens a socket in the network namespace of the calling thread; it stays there. Throws NftablesError.
	 */
	constructor() {
		this.#netlink = translated("open a socket of netfilter", () => new Netlink(NETLINK_PROTOCOL.NETFILTER));
	}

	/** All commands take effect at once, or none does. Throws NftablesError. */
	transact(commands: readonly Command[], { generation }: TransactOptions = {}): void {
		if (commands.length === 0) return;
		checkGeneration(generation);
		const messages = encodeCommands(commands);
		try {
			this.#netlink.changeTogether(batchOf(messages), CHANGING, generation);
		} catch (error) {
			if (!(error instanceof SyscallError)) throw error;
			throw refusedCommand(error, commands, messages);
		}
	}

	/**
	 * The same with commands that are encoded already. An error does not name the command that the kernel refused.
	 * Throws NftablesError.
	 */
	send(prepared: PreparedTransaction, { generation }: TransactOptions = {}): void {
		checkGeneration(generation);
		try {
			this.#netlink.changeTogether(prepared.batch, CHANGING, generation);
		} catch (error) {
			if (!(error instanceof SyscallError)) throw error;
			throw refusedCommand(error, [], []);
		}
	}

	/**
	 * Whether the running kernel supports the feature. Decides by the kernel's version; if that is too old,
	 * or with `ask`, by its answer to a transaction that changes nothing. Throws NftablesError.
	 */
	supports(feature: Feature, { ask = false }: { readonly ask?: boolean } = {}): boolean {
		const { since, commands, refused } = PROBES[feature];
		if (!ask && isKernelAtLeast(since)) return true;
		try {
			this.transact(commands);
		} catch (error) {
			if (!(error instanceof NftablesError) || error.code === "PERMISSION") throw error;
			if (error.command === undefined) throw error;
			return error.command === refused;
		}
		throw new NftablesError(
			"UNREADABLE",
			`ask the kernel for ${feature}: it took a command that is to be refused`,
		);
	}

	/**
	 * Increases with each change of the namespace's ruleset, whichever process made it. Throws NftablesError.
	 */
	generation(): number {
		const doing = "ask nf_tables for its generation";
		return translated(doing, () => {
			const answer = this.#netlink.get({ type: NFT_MSG.GETGEN, payload: NFGENMSG.encode({}), doing });
			return decodeGeneration(new MessageBody(answer.payload)).id;
		});
	}

	/** Whether the table exists. Throws NftablesError. */
	hasTable(table: TableId): boolean {
		return this.#table(table) !== undefined;
	}

	/** The values of a named counter; undefined if it does not exist. Throws NftablesError. */
	counter(table: TableId, name: string): { readonly packets: bigint; readonly bytes: bigint } | undefined {
		const doing = `read counter ${table.family} ${table.name} ${name}`;
		return translated(doing, () => {
			const payload = request(table, objectCodec, { table: table.name, name, type: OBJECT_TYPES.counter });
			const answer = unlessMissing(() => this.#netlink.get({ type: NFT_MSG.GETOBJ, payload, doing }));
			return answer === undefined ? undefined : decodeObject(new MessageBody(answer.payload)).value.counter;
		});
	}

	/**
	 * Reads the given tables, or all, in one consistent state. Tables that do not exist are left out. Throws
	 * NftablesError (`CHANGED` if the ruleset changes faster than it can be read).
	 */
	read(wanted?: readonly TableId[], options: ReadOptions = {}): Snapshot {
		let monitor: RulesetMonitor | undefined;
		try {
			for (let attempt = 0; attempt < READINGS; attempt++) {
				const before = this.generation();
				options.memory?.begin();
				const tables = this.#readTables(wanted, options);
				const generation = this.generation();
				if (generation === before) return { generation, tables };
				// The ruleset changes all the time: the monitor knows whether the changes affected these
				// tables.
				const reached = wanted && monitor?.follow(wanted, before, { until: generation });
				if (reached !== undefined) return { generation: reached, tables };
				monitor ??= new RulesetMonitor({ detail: "tables" });
			}
		} finally {
			monitor?.[Symbol.dispose]();
		}
		throw new NftablesError("CHANGED", `read the ruleset: it changed during each of ${READINGS} attempts`, {
			hint: "try again when nothing changes it",
		});
	}

	/**
	 * The current counters of rules and elements in the tables of a snapshot; undefined if the ruleset has
	 * changed since. Throws NftablesError.
	 */
	readCounters({ generation, tables }: Snapshot): readonly TableCounters[] | undefined {
		if (this.generation() !== generation) return undefined;
		const counters = tables.map((table) => this.#counters(table));
		return this.generation() === generation ? counters : undefined;
	}

	[Symbol.dispose](): void {
		this.#netlink[Symbol.dispose]();
	}

	#counters(table: TableContents): TableCounters {
		const doing = `read the counters of table ${table.family} ${table.name}`;
		const rules = translated(doing, () => {
			const payload = request(table, ruleCodec, { table: table.name });
			return this.#netlink.dump({ type: NFT_MSG.GETRULE, payload, doing }).flatMap(({ payload: bytes }) => {
				const body = new MessageBody(bytes);
				const found = ruleCounter(body.bytes);
				const isOurs = found?.table === table.name && body.family === table.family;
				return isOurs ? [[found.handle, found.counter] as const] : [];
			});
		});
		const sets = table.sets.filter(({ counters }) => counters === true);
		return {
			rules: new Map(rules),
			elements: new Map(sets.map((set) => [set.name, countersByKey(this.#elements(table, set))])),
		};
	}

	#readTables(wanted: readonly TableId[] | undefined, options: ReadOptions): TableContents[] {
		const tables = wanted === undefined ? this.#allTables() : wanted.flatMap((one) => this.#table(one) ?? []);
		const reader = new ExpressionReader();
		return tables.map((table) => this.#contents(table, reader, options));
	}

	#table(table: TableId): Table | undefined {
		const doing = `read table ${table.family} ${table.name}`;
		return translated(doing, () => {
			const payload = request(table, tableCodec, { name: table.name });
			const answer = unlessMissing(() => this.#netlink.get({ type: NFT_MSG.GETTABLE, payload, doing }));
			return answer === undefined ? undefined : decodeTable(new MessageBody(answer.payload));
		});
	}

	#allTables(): Table[] {
		const doing = "list tables";
		return translated(doing, () =>
			this.#netlink
				.dump({ type: NFT_MSG.GETTABLE, payload: NFGENMSG.encode({}), doing })
				.map(({ payload }) => new MessageBody(payload))
				// Skip tables of families that only newer kernels have.
				.flatMap((body) => (body.family === undefined ? [] : [decodeTable(body)])),
		);
	}

	#contents(table: Table, reader: ExpressionReader, { elements, memory }: ReadOptions): TableContents {
		const name = { table: table.name };
		const sets = this.#dump(table, NFT_MSG.GETSET, setCodec, { ...name, name: "" }, decodeSetHead);
		const isWanted = (set: WireSet): boolean => elements !== "verdicts" || set.dataType === VERDICT_TYPE;
		const anonymous = new Map(
			sets.filter(isAnonymous).map((set) => {
				const read = () => decodeAnonymousSet(set, this.#elements(table, set));
				const { name: setName, handle, flags = [] } = set;
				const isFixed = handle !== undefined && flags.includes("constant");
				return [setName, memory === undefined || !isFixed ? read() : memory.set(table, handle, read)];
			}),
		);
		const rules = this.#dump(table, NFT_MSG.GETRULE, ruleCodec, name, (body) => {
			const counted = memory === undefined ? undefined : ruleCounter(body.bytes);
			const known = counted && memory?.rule(table, counted.handle, counted.counter);
			return known === undefined || counted === undefined
				? decodeRule(body, reader)
				: { family: body.family, table: counted.table, value: known };
		}).map((rule) => withSets(rule, anonymous));
		for (const rule of rules) memory?.keep(table, rule);
		return {
			...table,
			chains: this.#dump(table, NFT_MSG.GETCHAIN, chainCodec, name, decodeChain),
			rules,
			sets: sets
				.filter((set) => !isAnonymous(set))
				.map((set) => decodeSet(set, isWanted(set) ? this.#elements(table, set) : []))
				.sort((a, b) => (a.name < b.name ? -1 : 1)),
			objects: this.#dump(table, NFT_MSG.GETOBJ, objectCodec, name, decodeObject),
			flowtables: this.#dump(table, NFT_MSG.GETFLOWTABLE, flowtableCodec, name, decodeFlowtable),
		};
	}

	#elements(table: TableId, { name: set }: { readonly name: string }): WireElement[] {
		return this.#dump(
			table,
			NFT_MSG.GETSETELEM,
			elementsCodec,
			{ table: table.name, set },
			decodeElementList,
		).flatMap(({ elements = [] }) => elements);
	}

	/** Kernels before 5.10 cannot filter every kind by table, so objects of other tables are skipped here. */
	#dump<W, T>(
		table: TableId,
		type: number,
		codec: Codec<W>,
		value: W,
		decode: (body: MessageBody) => Owned<T>,
	): T[] {
		const doing = `read table ${table.family} ${table.name}`;
		return translated(doing, () =>
			this.#netlink
				.dump({ type, payload: request(table, codec, value), doing })
				.map(({ payload }) => decode(new MessageBody(payload)))
				.filter((one) => one.family === table.family && one.table === table.name)
				.map((one) => one.value),
		);
	}
}

/** The kernel takes 0 for no generation, and would change the ruleset whatever its generation is. */
function checkGeneration(generation: number | undefined): void {
	if (generation === undefined || (Number.isInteger(generation) && generation > 0 && generation < 2 ** 32))
		return;
	throw new RangeError(`${CHANGING}: ${generation} is not a generation, which a snapshot has`);
}

function request<W>({ family }: TableId, codec: Codec<W>, value: W): Uint8Array {
	const writer = new AttributeWriter();
	writeHeader(writer, family);
	codec.write(writer, value);
	return writer.take();
}

function countersByKey(elements: readonly WireElement[]): Map<string, Counter> {
	return new Map(
		elements.flatMap(({ key, expression, expressions = [] }) => {
			const counter = [expression, ...expressions].find((one) => one?.kind === "counter");
			return key === undefined || counter?.kind !== "counter"
				? []
				: [[elementKey(key), { packets: counter.packets, bytes: counter.bytes }] as const];
		}),
	);
}

function isAnonymous({ flags = [] }: WireSet): boolean {
	return flags.includes("anonymous");
}

/** Replaces the names of anonymous sets in a rule by the sets. */
function withSets(rule: Rule, anonymous: ReadonlyMap<string, AnonymousSet>): Rule {
	if (anonymous.size === 0) return rule;
	const expressions = rule.expressions.map((one): Expression => {
		if (one.kind !== "lookup" || typeof one.set !== "string") return one;
		const set = anonymous.get(one.set);
		return set === undefined ? one : { ...one, set };
	});
	return { ...rule, expressions };
}

function unlessMissing<T>(ask: () => T): T | undefined {
	try {
		return ask();
	} catch (error) {
		if (error instanceof SyscallError && error.errno === ERRNO.ENOENT) return undefined;
		throw error;
	}
}
