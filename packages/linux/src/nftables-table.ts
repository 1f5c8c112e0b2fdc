/**
 * A whole table of nftables as the kernel holds it, and the same table made once more elsewhere: what nft(8)
 * prints does not always load again, what the kernel itself says does, instruction for instruction.
 *
 * Numbers are those of include/uapi/linux/netfilter/nf_tables.h.
 */
import { ERRNO } from "./errno.ts";
import { SyscallError } from "./libc.ts";
import { NETLINK_PROTOCOL, Netlink, type NetlinkMessage, NLM_F } from "./netlink.ts";
import {
	type Attributes,
	attribute,
	attributeSequence,
	decodeAttributes,
	nestedAttribute,
	textAttribute,
	textValue,
} from "./netlink-attribute.ts";
import { NFGENMSG } from "./nfnetlink.ts";
import { NFPROTO, NFT_MSG, type NftFamily, SUBSYSTEM_NFTABLES } from "./nftables.ts";

const NFTA_TABLE = { NAME: 1, FLAGS: 2, USERDATA: 6 } as const;
const NFTA_CHAIN = { TABLE: 1, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7, USERDATA: 12 } as const;
const NFTA_RULE = { TABLE: 1, CHAIN: 2, EXPRESSIONS: 4, USERDATA: 7 } as const;
const NFTA_SET = {
	TABLE: 1,
	NAME: 2,
	FLAGS: 3,
	KEY_TYPE: 4,
	KEY_LEN: 5,
	DATA_TYPE: 6,
	DATA_LEN: 7,
	POLICY: 8,
	DESC: 9,
	TIMEOUT: 11,
	GC_INTERVAL: 12,
	USERDATA: 13,
	EXPR: 17,
	EXPRESSIONS: 18,
} as const;
const NFTA_SET_ID = 10;
const NFTA_SET_ELEM_LIST = { TABLE: 1, SET: 2, ELEMENTS: 3 } as const;
const NFTA_SET_ELEM = { EXPR: 7, EXPRESSIONS: 11 } as const;
const NFTA_OBJ_TABLE = 1;
const NFTA_LIST_ELEM = 1;
const NFTA_EXPR = { NAME: 1, DATA: 2 } as const;

/** An attribute holds less than 64 KiB; an element with its comment and counter takes some 250 bytes. */
const ELEMENTS_AT_ONCE = 128;

/** The messages that make the table, in order, without what each kernel gives by itself; counters at zero. */
export interface NftTableImage {
	readonly family: NftFamily;
	readonly name: string;
	readonly parts: readonly NftTablePart[];
}

interface NftTablePart {
	readonly type: number;
	readonly flags: number;
	readonly payload: Uint8Array;
	/** `chain raw_PREROUTING`. */
	readonly what: string;
}

/**
 * Reads a table of this network namespace; undefined when there is none. What changes meanwhile may be half in
 * it: compare `rulesetGeneration()` before and after. Throws SyscallError, also for a table with objects of
 * kinds (named counters, flowtables …) that are not copied.
 */
export function readNftTable(family: NftFamily, name: string): NftTableImage | undefined {
	using netlink = new Netlink(NETLINK_PROTOCOL.NETFILTER);
	const object = `nft table ${family} ${name}`;
	const head = NFGENMSG.encode({ family: NFPROTO[family] });
	const request = (type: number, ...attributes: readonly Uint8Array[]) => ({
		type,
		payload: Buffer.concat([head, ...attributes]),
		doing: `read ${object}`,
	});
	const ofTable = attribute(NFTA_TABLE.NAME, textValue(name));
	let table: NetlinkMessage;
	try {
		table = netlink.get(request(NFT_MSG.GETTABLE, ofTable));
	} catch (error) {
		if (error instanceof SyscallError && error.errno === ERRNO.ENOENT) return undefined;
		throw error;
	}
	const dump = (type: number, tableAttribute: number, ...more: readonly Uint8Array[]): Attributes[] =>
		netlink
			.dump(request(type, ofTable, ...more))
			.map(bodyOf)
			.filter((attributes) => textAttribute(attributes, tableAttribute) === name);
	if (dump(NFT_MSG.GETOBJ, NFTA_OBJ_TABLE).length > 0) {
		throw new SyscallError(`copy ${object}: it has objects that l3dsr does not make`, ERRNO.EOPNOTSUPP);
	}

	const parts: NftTablePart[] = [];
	const add = (type: number, what: string, attributes: readonly Uint8Array[], flags = 0): void => {
		parts.push({ type, flags: NLM_F.CREATE | flags, payload: Buffer.concat([head, ...attributes]), what });
	};
	add(NFT_MSG.NEWTABLE, "itself", kept(bodyOf(table), Object.values(NFTA_TABLE)));
	for (const chain of dump(NFT_MSG.GETCHAIN, NFTA_CHAIN.TABLE)) {
		const what = `chain ${textAttribute(chain, NFTA_CHAIN.NAME)}`;
		add(NFT_MSG.NEWCHAIN, what, kept(chain, Object.values(NFTA_CHAIN)));
	}
	const sets = dump(NFT_MSG.GETSET, NFTA_SET.TABLE);
	for (const [index, set] of sets.entries()) {
		const setName = textAttribute(set, NFTA_SET.NAME) ?? "";
		const id = attribute(NFTA_SET_ID, Uint8Array.of(0, 0, (index + 1) >> 8, (index + 1) & 0xff));
		add(NFT_MSG.NEWSET, `set ${setName}`, [...kept(set, Object.values(NFTA_SET)), id]);
		const named = attribute(NFTA_SET_ELEM_LIST.SET, textValue(setName));
		const elements = dump(NFT_MSG.GETSETELEM, NFTA_SET_ELEM_LIST.TABLE, named)
			.flatMap((list) => attributeSequence(list.get(NFTA_SET_ELEM_LIST.ELEMENTS) ?? new Uint8Array(0)))
			.map(({ value }) => nestedAttribute(NFTA_LIST_ELEM, withoutCounts(value)))
			// Sets are hashed: their order is chance.
			.sort(Buffer.compare);
		for (let at = 0; at < elements.length; at += ELEMENTS_AT_ONCE) {
			const some = elements.slice(at, at + ELEMENTS_AT_ONCE);
			const list = nestedAttribute(NFTA_SET_ELEM_LIST.ELEMENTS, ...some);
			add(NFT_MSG.NEWSETELEM, `elements of set ${setName}`, [ofTable, named, list]);
		}
	}
	for (const rule of dump(NFT_MSG.GETRULE, NFTA_RULE.TABLE)) {
		const counted = new Map(rule);
		const expressions = rule.get(NFTA_RULE.EXPRESSIONS);
		if (expressions !== undefined) counted.set(NFTA_RULE.EXPRESSIONS, listWithoutCounts(expressions));
		const what = `a rule of chain ${textAttribute(rule, NFTA_RULE.CHAIN)}`;
		add(NFT_MSG.NEWRULE, what, kept(counted, Object.values(NFTA_RULE)), NLM_F.APPEND);
	}
	return { family, name, parts };
}

/** Makes the table in this network namespace, which must not have it. Throws SyscallError; then nothing is made. */
export function makeNftTable({ family, name, parts }: NftTableImage): void {
	using netlink = new Netlink(NETLINK_PROTOCOL.NETFILTER);
	const requests = parts.map(({ what, ...part }) => ({
		...part,
		doing: `copy nft table ${family} ${name}: ${what}`,
	}));
	netlink.changeTogether(SUBSYSTEM_NFTABLES, requests, `copy nft table ${family} ${name}`);
}

/** The same to the last instruction; counters and handles apart. */
export function sameNftTable(a: NftTableImage, b: NftTableImage): boolean {
	const text = ({ parts }: NftTableImage): string =>
		parts
			.map(({ type, payload }) => `${type} ${Buffer.from(payload).toString("hex")}`)
			.sort()
			.join("\n");
	// Rules are compared in their order: it is what they mean.
	const rules = ({ parts }: NftTableImage): string =>
		parts
			.filter(({ type }) => type === NFT_MSG.NEWRULE)
			.map(({ payload }) => Buffer.from(payload).toString("hex"))
			.join("\n");
	return text(a) === text(b) && rules(a) === rules(b);
}

function bodyOf({ payload }: NetlinkMessage): Attributes {
	return decodeAttributes(payload.subarray(NFGENMSG.size));
}

function kept(attributes: Attributes, types: readonly number[]): Uint8Array[] {
	return types.flatMap((type) => {
		const value = attributes.get(type);
		return value === undefined ? [] : [attribute(type, value)];
	});
}

function withoutCounts(element: Uint8Array): Uint8Array {
	return Buffer.concat(
		attributeSequence(element).map(({ type, value, whole }) => {
			if (type === NFTA_SET_ELEM.EXPR) return nestedAttribute(type, expressionWithoutCounts(value));
			return type === NFTA_SET_ELEM.EXPRESSIONS ? nestedAttribute(type, listWithoutCounts(value)) : whole;
		}),
	);
}

function listWithoutCounts(expressions: Uint8Array): Uint8Array {
	return Buffer.concat(
		attributeSequence(expressions).map(({ value }) =>
			nestedAttribute(NFTA_LIST_ELEM, expressionWithoutCounts(value)),
		),
	);
}

/** The expression as it is; a counter's numbers are all that its data are, and become zeros. */
function expressionWithoutCounts(expression: Uint8Array): Uint8Array {
	const attributes = decodeAttributes(expression);
	const data = attributes.get(NFTA_EXPR.DATA);
	if (textAttribute(attributes, NFTA_EXPR.NAME) !== "counter" || data === undefined) return expression;
	const zeroed = attributeSequence(data).map(({ type, value }) =>
		attribute(type, new Uint8Array(value.length)),
	);
	return Buffer.concat([
		attribute(NFTA_EXPR.NAME, textValue("counter")),
		nestedAttribute(NFTA_EXPR.DATA, ...zeroed),
	]);
}
