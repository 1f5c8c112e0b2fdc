/** Receives every change of a network namespace's ruleset, whichever process made it. */
import { ERRNO, NETLINK_PROTOCOL, Netlink, type NetlinkMessage, SyscallError } from "@l3dsr/linux";
import { attribute, attributes, text, UnreadableError } from "./codec.ts";
import {
	decodeChain,
	decodeGeneration,
	decodeRule,
	decodeSetHead,
	decodeTable,
	MessageBody,
} from "./decode.ts";
import { NftablesError } from "./error.ts";
import { ExpressionReader } from "./expression-codec.ts";
import type { Chain, Rule, Table, TableId } from "./ruleset.ts";
import { FAMILIES, type Family, MULTICAST_GROUP, NFGENMSG, NFT_MSG } from "./uapi.ts";

/** A change. The kernel reports each object of a transaction, and then the new generation. */
export type RulesetEvent =
	| {
			readonly kind: "generation";
			readonly generation: number;
			readonly process?: number;
			readonly program?: string;
	  }
	| { readonly kind: "table"; readonly change: Change; readonly table: Table }
	| { readonly kind: "chain"; readonly change: Change; readonly table: TableId; readonly chain: Chain }
	| { readonly kind: "rule"; readonly change: Change; readonly table: TableId; readonly rule: Rule }
	| { readonly kind: "set"; readonly change: Change; readonly table: TableId; readonly set: string }
	/** Elements, objects, and messages that this package has no values for; `type` is the message number. */
	| { readonly kind: "other"; readonly type: number; readonly table?: TableId }
	/**
	 * The kernel dropped events: read the ruleset again. It tells so before the events that it kept, which may be
	 * older: read after the last of them.
	 */
	| { readonly kind: "lost" };

export type Change = "added" | "deleted";

/** For a table of some ten thousand rules that is deleted at once. */
const BUFFER_BYTES = 1 << 24;

export interface MonitorOptions {
	/**
	 * `tables`: reports chains, rules and sets as `other`, with their table alone. Reading the contents of thousands takes
	 * long.
	 */
	readonly detail?: "tables";
}

export class RulesetMonitor implements Disposable {
	readonly #netlink: Netlink;
	readonly #detail: MonitorOptions["detail"];

	/** Receives the events of the calling thread's network namespace from now on. Throws NftablesError. */
	constructor({ detail }: MonitorOptions = {}) {
		this.#detail = detail;
		const doing = "listen for changes of the ruleset";
		try {
			this.#netlink = new Netlink(NETLINK_PROTOCOL.NETFILTER);
			try {
				this.#netlink.joinGroup(MULTICAST_GROUP, doing);
				this.#netlink.holdAtMost(BUFFER_BYTES);
			} catch (error) {
				this.#netlink[Symbol.dispose]();
				throw error;
			}
		} catch (error) {
			if (!(error instanceof SyscallError)) throw error;
			const denied = error.errno === ERRNO.EPERM;
			throw new NftablesError(denied ? "PERMISSION" : "UNSUPPORTED", error.message, {
				errno: error.errnoName,
				cause: error,
				...(denied ? { hint: "run it as root" } : {}),
			});
		}
	}

	/**
	 * Descriptor to watch in the event loop (`watchReadable` of `@l3dsr/linux`); when it is readable, call
	 * {@link read}.
	 */
	get fd(): number {
		return this.#netlink.fd;
	}

	/** Waits until an event can be read. Returns false if there is none after `timeoutMs`. */
	wait(timeoutMs: number): boolean {
		return this.#netlink.waitForUnsolicited(timeoutMs, "wait for changes of the ruleset");
	}

	/** Returns all pending events. Does not wait. */
	read(): readonly RulesetEvent[] {
		const events: RulesetEvent[] = [];
		const decode = this.#detail === "tables" ? tableDecoder() : wholeDecoder();
		for (;;) {
			try {
				const messages = this.#netlink.unsolicited("read changes of the ruleset");
				if (messages === undefined) return events;
				for (const message of messages) events.push(eventOf(message, decode));
			} catch (error) {
				if (!(error instanceof SyscallError) || error.errno !== ERRNO.ENOBUFS) throw error;
				events.push({ kind: "lost" });
			}
		}
	}

	/**
	 * Whether all changes after generation `since` affected other tables than these. Returns the latest
	 * reported generation; with `until`, waits for that one. Returns undefined if a change affected one of
	 * the tables, or if that is unknown. Ignores the generations in `own`.
	 */
	follow(
		tables: readonly TableId[],
		since: number,
		{ until, own }: { readonly until?: number; readonly own?: ReadonlySet<number> } = {},
	): number | undefined {
		let latest = since;
		let concerned = false;
		for (let told = false; !told; ) {
			if (!this.wait(TOLD_WITHIN_MS)) return undefined;
			for (const event of this.read()) {
				if (event.kind === "lost") return undefined;
				told = event.kind === "generation" && (until === undefined || isReached(event.generation, until));
				if (event.kind !== "generation") {
					concerned ||= isAbout(event, tables);
					continue;
				}
				const { generation } = event;
				// The kernel reports a change before the generation that it leads to.
				if (!isReached(since, generation) && own?.has(generation) !== true) {
					if (concerned) return undefined;
					latest = generation;
				}
				concerned = false;
			}
		}
		return latest;
	}

	[Symbol.dispose](): void {
		this.#netlink[Symbol.dispose]();
	}
}

/** The kernel reports a change at once; this is the longest wait for the report, in milliseconds. */
const TOLD_WITHIN_MS = 1000;

/** Whether `generation` is `wanted` or a later one. The number wraps at 32 bits. */
function isReached(generation: number, wanted: number): boolean {
	return (generation - wanted) >>> 0 < 0x8000_0000;
}

/** An event without a table may affect any of them. */
function isAbout(
	{ table }: Exclude<RulesetEvent, { kind: "generation" | "lost" }>,
	tables: readonly TableId[],
): boolean {
	return (
		table === undefined || tables.some(({ family, name }) => table.family === family && table.name === name)
	);
}

type Decode = (type: number, payload: Uint8Array) => RulesetEvent;

function wholeDecoder(): Decode {
	const reader = new ExpressionReader();
	return (type, payload) => decodeEvent(type, new MessageBody(payload), reader);
}

/** Generations and tables; everything else with its table alone. */
function tableDecoder(): Decode {
	const last = new LastTable();
	return (type, payload) =>
		OF_TABLES.has(type)
			? decodeTableEvent(type, new MessageBody(payload))
			: (last.known(type, payload) ?? last.keep(payload, otherEvent(type, new MessageBody(payload))));
}

/** If a table is deleted, thousands of messages in a row have its name: it is compared instead of decoded. */
class LastTable {
	#last: { readonly attribute: Uint8Array; readonly table: TableId } | undefined;

	known(type: number, payload: Uint8Array): RulesetEvent | undefined {
		if (this.#last === undefined) return undefined;
		const { attribute: name, table } = this.#last;
		if (payload.length < NFGENMSG.size + name.length || payload[0] !== FAMILIES[table.family])
			return undefined;
		for (let at = 0; at < name.length; at++) if (payload[NFGENMSG.size + at] !== name[at]) return undefined;
		return { kind: "other", type, table };
	}

	keep(payload: Uint8Array, event: RulesetEvent): RulesetEvent {
		if (event.kind !== "other" || event.table === undefined) return event;
		const from = NFGENMSG.size;
		const length = (payload[from] ?? 0) | ((payload[from + 1] ?? 0) << 8);
		const isName = payload[from + 2] === 1 && payload[from + 3] === 0;
		if (isName) this.#last = { attribute: payload.slice(from, from + length), table: event.table };
		return event;
	}
}

function eventOf({ type, payload }: NetlinkMessage, decode: Decode): RulesetEvent {
	try {
		return decode(type, payload);
	} catch (error) {
		if (!(error instanceof UnreadableError)) throw error;
		return otherEvent(type, new MessageBody(payload));
	}
}

/** Every object of a table has the table's name in its first attribute: NFTA_*_TABLE. */
function otherEvent(type: number, body: MessageBody): RulesetEvent {
	try {
		const { table } = body.read(OWNED);
		if (table === undefined || body.family === undefined) return { kind: "other", type };
		return { kind: "other", type, table: { family: body.family, name: table } };
	} catch (error) {
		if (!(error instanceof UnreadableError)) throw error;
		return { kind: "other", type };
	}
}

const OWNED = attributes<{ readonly table?: string }>({ table: attribute(1, text) });

const OF_TABLES: ReadonlySet<number> = new Set([NFT_MSG.NEWGEN, NFT_MSG.NEWTABLE, NFT_MSG.DELTABLE]);

function decodeTableEvent(type: number, body: MessageBody): RulesetEvent {
	switch (type) {
		case NFT_MSG.NEWGEN: {
			const { id, process, program } = decodeGeneration(body);
			return {
				kind: "generation",
				generation: id,
				...(process === undefined ? {} : { process }),
				...(program === undefined ? {} : { program }),
			};
		}
		case NFT_MSG.NEWTABLE:
		case NFT_MSG.DELTABLE:
			return { kind: "table", change: changeOf(type === NFT_MSG.NEWTABLE), table: decodeTable(body) };
		default:
			return otherEvent(type, body);
	}
}

function decodeEvent(type: number, body: MessageBody, reader: ExpressionReader): RulesetEvent {
	switch (type) {
		case NFT_MSG.NEWCHAIN:
		case NFT_MSG.DELCHAIN: {
			const { value: chain, ...owner } = decodeChain(body);
			return { kind: "chain", change: changeOf(type === NFT_MSG.NEWCHAIN), table: tableOf(owner), chain };
		}
		case NFT_MSG.NEWRULE:
		case NFT_MSG.DELRULE: {
			const { value: rule, ...owner } = decodeRule(body, reader);
			return { kind: "rule", change: changeOf(type === NFT_MSG.NEWRULE), table: tableOf(owner), rule };
		}
		case NFT_MSG.NEWSET:
		case NFT_MSG.DELSET: {
			const { value, ...owner } = decodeSetHead(body);
			return {
				kind: "set",
				change: changeOf(type === NFT_MSG.NEWSET),
				table: tableOf(owner),
				set: value.name,
			};
		}
		default:
			return decodeTableEvent(type, body);
	}
}

function changeOf(added: boolean): Change {
	return added ? "added" : "deleted";
}

function tableOf({
	family,
	table,
}: {
	readonly family: Family | undefined;
	readonly table: string;
}): TableId {
	if (family === undefined) throw new UnreadableError("an object of an unknown family");
	return { family, name: table };
}
