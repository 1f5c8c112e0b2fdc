/** The attributes of tables, chains, rules, sets, elements and named objects: NFTA_TABLE_* and so on. */
import {
	attribute,
	attributes,
	be32,
	be64,
	type Codec,
	flags,
	knownFlags,
	listOf,
	named,
	raw,
	signedBe32,
	text,
} from "./codec.ts";
import { anyData, valueData } from "./data-codec.ts";
import type { Verdict } from "./element.ts";
import type { Expression } from "./expression.ts";
import { expressionInside } from "./expression-codec.ts";
import { SET_FLAGS, type SetFlag, TABLE_FLAGS, type TableFlag } from "./uapi.ts";

/** NFTA_LIST_ELEM */
export const LIST_ELEMENT = 1;

export interface WireTable {
	readonly name: string;
	readonly flags?: readonly TableFlag[];
	readonly handle?: bigint;
	readonly owner?: number;
	readonly userData?: Uint8Array;
}
export const table: Codec<WireTable> = attributes<WireTable>({
	name: attribute(1, text),
	flags: attribute(2, knownFlags(TABLE_FLAGS)),
	handle: attribute(4, be64),
	userData: attribute(6, raw),
	owner: attribute(7, be32),
});

export interface WireHook {
	readonly hook: number;
	readonly priority: number;
	readonly device?: string;
	readonly devices?: readonly string[];
}
export interface WireChain {
	readonly table: string;
	readonly handle?: bigint;
	readonly name?: string;
	readonly type?: string;
	readonly policy?: "drop" | "accept";
	readonly hook?: WireHook;
	readonly flags?: number;
	readonly userData?: Uint8Array;
}
export const chain: Codec<WireChain> = attributes<WireChain>({
	table: attribute(1, text),
	handle: attribute(2, be64),
	name: attribute(3, text),
	type: attribute(7, text),
	policy: attribute(5, named({ drop: 0, accept: 1 })),
	hook: attribute(
		4,
		attributes<WireHook>({
			hook: attribute(1, be32),
			priority: attribute(2, signedBe32),
			device: attribute(3, text),
			devices: attribute(4, listOf(1, text)),
		}),
	),
	flags: attribute(10, be32),
	userData: attribute(12, raw),
});
/** NFT_CHAIN_HW_OFFLOAD */
export const CHAIN_OFFLOAD = 2;

/** All attributes of a rule except its expressions, which are written and read one by one. */
export interface WireRule {
	readonly table?: string;
	readonly chain?: string;
	readonly handle?: bigint;
	readonly position?: bigint;
	readonly userData?: Uint8Array;
}
export const RULE_EXPRESSIONS = 4;
export const rule: Codec<WireRule> = attributes<WireRule>({
	table: attribute(1, text),
	chain: attribute(2, text),
	handle: attribute(3, be64),
	position: attribute(6, be64),
	userData: attribute(7, raw),
});

export interface WireSet {
	readonly table: string;
	readonly name: string;
	readonly flags?: readonly SetFlag[];
	readonly keyType?: number;
	readonly keyLength?: number;
	readonly dataType?: number;
	readonly dataLength?: number;
	/** Number of the set in its transaction. */
	readonly id?: number;
	readonly description?: { readonly size?: number; readonly fields?: readonly { readonly length: number }[] };
	readonly timeout?: bigint;
	readonly gcInterval?: number;
	readonly policy?: number;
	readonly objectType?: number;
	readonly userData?: Uint8Array;
	readonly expression?: Expression;
	readonly expressions?: readonly Expression[];
	readonly handle?: bigint;
}
export const VERDICT_TYPE = 0xffffff00;
export const set: Codec<WireSet> = attributes<WireSet>({
	table: attribute(1, text),
	name: attribute(2, text),
	flags: attribute(3, knownFlags(SET_FLAGS)),
	keyType: attribute(4, be32),
	keyLength: attribute(5, be32),
	dataType: attribute(6, be32),
	dataLength: attribute(7, be32),
	id: attribute(10, be32),
	description: attribute(
		9,
		attributes<NonNullable<WireSet["description"]>>({
			size: attribute(1, be32),
			fields: attribute(
				2,
				listOf(LIST_ELEMENT, attributes<{ length: number }>({ length: attribute(1, be32) })),
			),
		}),
	),
	timeout: attribute(11, be64),
	gcInterval: attribute(12, be32),
	policy: attribute(8, be32, 0),
	objectType: attribute(15, be32),
	userData: attribute(13, raw),
	expression: attribute(17, expressionInside),
	expressions: attribute(18, listOf(LIST_ELEMENT, expressionInside)),
	handle: attribute(16, be64),
});

export const ELEMENT_FLAGS = { "interval end": 1, "catch all": 2 } as const;
export interface WireElement {
	readonly key?: Uint8Array;
	readonly keyEnd?: Uint8Array;
	readonly data?: Uint8Array | Verdict;
	readonly flags?: readonly (keyof typeof ELEMENT_FLAGS)[];
	readonly timeout?: bigint;
	readonly expiration?: bigint;
	readonly userData?: Uint8Array;
	readonly expression?: Expression;
	readonly expressions?: readonly Expression[];
	readonly object?: string;
}
const element: Codec<WireElement> = attributes<WireElement>({
	flags: attribute(3, flags(ELEMENT_FLAGS)),
	key: attribute(1, valueData),
	keyEnd: attribute(10, valueData),
	data: attribute(2, anyData),
	timeout: attribute(4, be64),
	expiration: attribute(5, be64),
	userData: attribute(6, raw),
	expression: attribute(7, expressionInside),
	expressions: attribute(11, listOf(LIST_ELEMENT, expressionInside)),
	object: attribute(9, text),
});

export interface WireElements {
	readonly table: string;
	readonly set: string;
	readonly setId?: number;
	readonly elements?: readonly WireElement[];
}
export const elements: Codec<WireElements> = attributes<WireElements>({
	table: attribute(1, text),
	set: attribute(2, text),
	setId: attribute(4, be32),
	elements: attribute(3, listOf(LIST_ELEMENT, element)),
});

export interface WireObject {
	readonly table: string;
	readonly name?: string;
	/** A number of OBJECT_TYPES, or of a type that only newer kernels have. */
	readonly type?: number;
	readonly data?: Uint8Array;
	readonly userData?: Uint8Array;
}
export const object: Codec<WireObject> = attributes<WireObject>({
	table: attribute(1, text),
	name: attribute(2, text),
	type: attribute(3, be32),
	data: attribute(4, { ...raw, nested: true }),
	userData: attribute(8, raw),
});

export interface CounterData {
	readonly bytes: bigint;
	readonly packets: bigint;
}
export const counterData: Codec<CounterData> = attributes<CounterData>({
	bytes: attribute(1, be64),
	packets: attribute(2, be64),
});

export interface WireNamed {
	readonly table: string;
	readonly name?: string;
}
export const flowtable: Codec<WireNamed> = attributes<WireNamed>({
	table: attribute(1, text),
	name: attribute(2, text),
});

export interface WireGeneration {
	readonly id: number;
	readonly process?: number;
	readonly program?: string;
}
export const generation: Codec<WireGeneration> = attributes<WireGeneration>({
	id: attribute(1, be32),
	process: attribute(2, be32),
	program: attribute(3, text),
});
