/** The entry point of `@l3dsr/nftables`: nf_tables over netlink, with values. */

export { addressText, bytesNumber, numberBytes, sameBytes } from "./bytes.ts";
export { type Command, describeCommand } from "./command.ts";
export { copyTable, sameTable } from "./copy.ts";
export { elementKey, type TableCounters } from "./counted.ts";
export { concatenation, type DataType, type DataTypeName, dataType, integerType } from "./data-type.ts";
export type { AnonymousSet, Counter, SetElement, Verdict } from "./element.ts";
export { NftablesError, type NftablesErrorCode, type NftablesErrorOptions } from "./error.ts";
export type {
	Bitwise,
	ByteOrder,
	Compare,
	CounterExpression,
	Ct,
	CtKey,
	Expression,
	ExtensionHeader,
	Fib,
	Hash,
	Immediate,
	Limit,
	Log,
	Lookup,
	Meta,
	MetaKey,
	MetaWrite,
	NumberGenerator,
	ObjectReference,
	OtherExpression,
	Payload,
	PayloadBase,
	PayloadWrite,
	Range,
	Reject,
	VerdictExpression,
	Xtables,
} from "./expression.ts";
export { expressionKey, sameExpression } from "./expression-key.ts";
export { FIELDS, type Field, type FieldName } from "./field.ts";
export { type GenerationStep, nextGeneration } from "./generation.ts";
export { TableMemory } from "./memory.ts";
export { type Change, type MonitorOptions, type RulesetEvent, RulesetMonitor } from "./monitor.ts";
export { type Feature, Nftables, type ReadOptions, type TransactOptions } from "./nftables.ts";
export { GATHER_MS, type LoggedPacket, PacketLog } from "./packet-log.ts";
export { PreparedTransaction } from "./prepared.ts";
export { type PrintableTable, printCommand, printTable } from "./print/print-command.ts";
export { printRule } from "./print/print-rule.ts";
export type {
	BaseChain,
	Chain,
	ChainSpec,
	NamedObject,
	Rule,
	RuleSpec,
	Snapshot,
	Table,
	TableContents,
	TableId,
	TableSpec,
} from "./ruleset.ts";
export type { FieldPlace, NamedField, NamedSet, SetSpec, SetType } from "./set.ts";
export {
	assign,
	assignFromMap,
	assignMeta,
	counter,
	extensionHeader,
	fibType,
	field,
	goTo,
	hasExtensionHeader,
	jhash,
	jump,
	masked,
	match,
	meta,
	type NumberRange,
	type Operand,
	rawField,
	type Value,
	verdict,
} from "./statement.ts";
export type { Comparison, Family, Hook, SetFlag, TableFlag } from "./uapi.ts";
export { COMMENT_BYTES, namedPlace } from "./user-data.ts";
