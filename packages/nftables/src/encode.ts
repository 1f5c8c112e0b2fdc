/** Encodes commands as the netlink messages of one transaction. */
import { NLM_F } from "@l3dsr/linux";
import { AttributeWriter } from "./attribute-writer.ts";
import { type Codec, eachAttribute, numberOf } from "./codec.ts";
import { type Command, describeCommand, namesOf } from "./command.ts";
import type { AnonymousSet } from "./element.ts";
import { readExpression, writeExpression } from "./expression-codec.ts";
import {
	CHAIN_OFFLOAD,
	chain as chainCodec,
	elements as elementsCodec,
	LIST_ELEMENT,
	object as objectCodec,
	RULE_EXPRESSIONS,
	rule as ruleCodec,
	set as setCodec,
	table as tableCodec,
	type WireElement,
} from "./object-codec.ts";
import type { ChainSpec, RuleSpec, TableId } from "./ruleset.ts";
import {
	checkElements,
	encodeAnonymousSet,
	encodeElements,
	encodeRangeElements,
	encodeSet,
} from "./set-codec.ts";
import { FAMILIES, HOOKS, NFGENMSG, NFT_MSG, OBJECT_TYPES } from "./uapi.ts";
import { encodeComment } from "./user-data.ts";

export interface Message {
	/** Subsystem and message number, NFT_MSG_*. */
	readonly type: number;
	readonly flags: number;
	/** struct nfgenmsg and attributes. */
	readonly payload: Uint8Array;
	/** Index of the command that it belongs to. */
	readonly command: number;
}

/** An attribute holds less than 64 KiB; an element with a comment and a counter takes about 250 bytes. */
const ELEMENTS_AT_ONCE = 128;

/** Throws RangeError for values that do not fit into their attributes. */
export function encodeCommands(commands: readonly Command[]): readonly Message[] {
	const encoder = new Encoder();
	for (const [index, command] of commands.entries()) addNamed(encoder, command, index);
	return encoder.messages();
}

/** An error names the command. */
function addNamed(encoder: Encoder, command: Command, index: number): void {
	try {
		encoder.add(command, index);
	} catch (error) {
		if (!(error instanceof RangeError)) throw error;
		throw new RangeError(`${describeCommand(command)}: ${error.message}`, { cause: error });
	}
}

/** Writes struct nfgenmsg, with which every message begins: the family, the version (0) and no resource. */
export function writeHeader(writer: AttributeWriter, family: TableId["family"]): void {
	writer.be32(numberOf(FAMILIES, family) << 24);
}

class Encoder {
	/** The messages, each with where it begins and ends in what was written. */
	readonly #ready: (Omit<Message, "payload"> & { readonly from: number; readonly to: number })[] = [];
	readonly #writer = new AttributeWriter();
	#from = 0;
	/** The number of sets that the transaction has created so far. */
	#sets = 0;
	readonly #setIds = new Map<string, number>();
	#command: Command | undefined;
	#index = 0;

	messages(): readonly Message[] {
		const bytes = this.#writer.take();
		return this.#ready.map(({ from, to, ...message }) => ({ ...message, payload: bytes.subarray(from, to) }));
	}

	add(command: Command, index: number): void {
		this.#command = command;
		this.#index = index;
		const { table } = command;
		// The kernel takes an empty name, but no program can name such an object.
		if (namesOf(command).includes("")) throw new RangeError("a name is empty");
		const inTable = { table: table.name };
		switch (command.do) {
			case "add table": {
				const { name, flags = [], comment } = command.table;
				const userData = comment === undefined ? {} : { userData: encodeComment(comment) };
				this.#put(NFT_MSG.NEWTABLE, NLM_F.CREATE, tableCodec, { name, flags, ...userData });
				break;
			}
			case "delete table":
				this.#put(NFT_MSG.DELTABLE, 0, tableCodec, { name: table.name });
				break;
			case "add chain":
				this.#addChain(table, command.chain);
				break;
			case "delete chain":
				this.#put(NFT_MSG.DELCHAIN, 0, chainCodec, { ...inTable, name: command.chain });
				break;
			case "flush chain":
				this.#put(NFT_MSG.DELRULE, 0, ruleCodec, { ...inTable, chain: command.chain });
				break;
			case "add rule":
				this.#addRule(table, command);
				break;
			case "delete rule":
				this.#put(NFT_MSG.DELRULE, 0, ruleCodec, {
					...inTable,
					chain: command.chain,
					handle: command.handle,
				});
				break;
			case "add set": {
				const id = ++this.#sets;
				this.#setIds.set(`${table.family} ${table.name} ${command.set.name}`, id);
				this.#put(NFT_MSG.NEWSET, NLM_F.CREATE, setCodec, encodeSet(table.name, command.set, id));
				break;
			}
			case "delete set":
				this.#put(NFT_MSG.DELSET, 0, setCodec, { ...inTable, name: command.set });
				break;
			case "add elements":
			case "delete elements": {
				const { name, flags = [] } = command.set;
				checkElements(command.elements, command.set);
				const encoded = flags.includes("concatenated")
					? encodeRangeElements(command.elements)
					: encodeElements(command.elements, flags.includes("interval"));
				const id = this.#setIds.get(`${table.family} ${table.name} ${name}`);
				this.#elements(
					command.do === "add elements" ? NFT_MSG.NEWSETELEM : NFT_MSG.DELSETELEM,
					{ table: table.name, set: name, ...(id === undefined ? {} : { setId: id }) },
					encoded,
				);
				break;
			}
			case "add object":
				this.#put(NFT_MSG.NEWOBJ, NLM_F.CREATE, objectCodec, {
					...inTable,
					name: command.object.name,
					type: OBJECT_TYPES[command.object.type],
					data: new Uint8Array(0),
					...(command.object.comment === undefined
						? {}
						: { userData: encodeComment(command.object.comment) }),
				});
				break;
			case "delete object":
				this.#put(NFT_MSG.DELOBJ, 0, objectCodec, {
					...inTable,
					name: command.object.name,
					type: OBJECT_TYPES[command.object.type],
				});
				break;
		}
	}

	#addChain({ family, name: table }: TableId, { name, base, comment }: ChainSpec): void {
		const hooks: Readonly<Record<string, number>> = HOOKS[family];
		let attached = {};
		if (base !== undefined) {
			const hook = hooks[base.hook];
			if (hook === undefined) throw new RangeError(`family ${family} has no hook ${base.hook}`);
			const { type, policy, priority, devices = [], offload } = base;
			const [device] = devices;
			const on = devices.length > 1 ? { devices } : device === undefined ? {} : { device };
			const flags = offload === true ? { flags: CHAIN_OFFLOAD } : {};
			attached = { type, policy, hook: { hook, priority, ...on }, ...flags };
		}
		this.#put(NFT_MSG.NEWCHAIN, NLM_F.CREATE, chainCodec, {
			table,
			name,
			...attached,
			...(comment === undefined ? {} : { userData: encodeComment(comment) }),
		});
	}

	#addRule(table: TableId, command: Extract<Command, { do: "add rule" }>): void {
		const { chain, rule, before, after } = command;
		const sets = this.#makeSets(table, rule);
		const position = before ?? after;
		this.#begin(table);
		ruleCodec.write(this.#writer, { table: table.name, chain });
		const list = this.#writer.begin(RULE_EXPRESSIONS, true);
		for (const expression of rule.expressions) {
			const begun = this.#writer.begin(LIST_ELEMENT, true);
			writeExpression(this.#writer, expression, (set) =>
				typeof set === "string"
					? this.#named(table, set)
					: { name: set.data === undefined ? "__set%d" : "__map%d", id: sets.get(set) ?? 0 },
			);
			this.#writer.end(begun);
		}
		this.#writer.end(list);
		const { comment } = rule;
		ruleCodec.write(this.#writer, {
			...(position === undefined ? {} : { position }),
			...(comment === undefined ? {} : { userData: encodeComment(comment) }),
		});
		this.#finish(NFT_MSG.NEWRULE, before === undefined ? NLM_F.CREATE | NLM_F.APPEND : NLM_F.CREATE);
	}

	#named(table: TableId, name: string): { readonly name: string; readonly id?: number } {
		const id = this.#setIds.get(`${table.family} ${table.name} ${name}`);
		return id === undefined ? { name } : { name, id };
	}

	/** A rule's anonymous sets must be created before the rule. */
	#makeSets(table: TableId, { expressions }: RuleSpec): ReadonlyMap<AnonymousSet, number> {
		const sets = new Map<AnonymousSet, number>();
		for (const one of expressions) {
			if (one.kind !== "lookup" || typeof one.set === "string") continue;
			const id = ++this.#sets;
			sets.set(one.set, id);
			const { set, elements } = encodeAnonymousSet(table.name, one.set, id);
			this.#put(NFT_MSG.NEWSET, NLM_F.CREATE, setCodec, set);
			this.#elements(NFT_MSG.NEWSETELEM, { table: table.name, set: set.name, setId: id }, elements);
		}
		return sets;
	}

	#elements(
		type: number,
		of: { readonly table: string; readonly set: string; readonly setId?: number },
		all: readonly WireElement[],
	): void {
		for (let at = 0; at < all.length; at += ELEMENTS_AT_ONCE) {
			const some = all.slice(at, at + ELEMENTS_AT_ONCE);
			this.#put(type, type === NFT_MSG.NEWSETELEM ? NLM_F.CREATE : 0, elementsCodec, {
				...of,
				elements: some,
			});
		}
	}

	#put<W>(type: number, flags: number, codec: Codec<W>, value: W): void {
		if (this.#command === undefined) return;
		this.#begin(this.#command.table);
		codec.write(this.#writer, value);
		this.#finish(type, flags);
	}

	#begin({ family }: TableId): void {
		this.#from = this.#writer.length;
		writeHeader(this.#writer, family);
	}

	#finish(type: number, flags: number): void {
		if (this.#command === undefined) return;
		this.#ready.push({ type, flags, from: this.#from, to: this.#writer.length, command: this.#index });
	}
}

const CODECS: Readonly<Record<number, Pick<Codec<unknown>, "names">>> = {
	[NFT_MSG.NEWTABLE]: tableCodec,
	[NFT_MSG.DELTABLE]: tableCodec,
	[NFT_MSG.NEWCHAIN]: chainCodec,
	[NFT_MSG.DELCHAIN]: chainCodec,
	[NFT_MSG.NEWRULE]: ruleCodec,
	[NFT_MSG.DELRULE]: ruleCodec,
	[NFT_MSG.NEWSET]: setCodec,
	[NFT_MSG.DELSET]: setCodec,
	[NFT_MSG.NEWSETELEM]: elementsCodec,
	[NFT_MSG.DELSETELEM]: elementsCodec,
	[NFT_MSG.NEWOBJ]: objectCodec,
	[NFT_MSG.DELOBJ]: objectCodec,
};

/**
 * Names the part of a message at this byte of its payload, for the error when the kernel rejects it: `its
 * chain`, `expression 3 (lookup)`. Undefined if that part has no name.
 */
export function partAt({ type, payload }: Message, offset: number): string | undefined {
	const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
	let part: string | undefined;
	eachAttribute(bytes, NFGENMSG.size, bytes.length, (attribute, from, to) => {
		if (offset < from - ATTRIBUTE_HEADER || offset >= to) return;
		const name = CODECS[type]?.names?.get(attribute);
		if (name !== undefined) part = `its ${name}`;
		if (type !== NFT_MSG.NEWRULE || attribute !== RULE_EXPRESSIONS) return;
		let index = 0;
		eachAttribute(bytes, from, to, (_, first, last) => {
			index++;
			if (offset < first - ATTRIBUTE_HEADER || offset >= last) return;
			part = `expression ${index} (${readExpression(bytes, first, last).kind})`;
		});
	});
	return part;
}

const ATTRIBUTE_HEADER = 4;
