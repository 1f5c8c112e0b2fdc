/** Records as JSON, the same for --json, the journal's readers and the HTTP API: packages/records describes them. */
import { type Standalone, type StandaloneName, schemaId, type Unprinted } from "@l3dsr/records";

/** A record before it is printed: counters may be bigint. */
export type Printable<N extends StandaloneName> = Unprinted<Standalone[N]>;

/** One record, which begins with its schema; `indented` for people, else on one line. */
export function jsonText<N extends StandaloneName>(
	name: N,
	record: Printable<N>,
	{ indented = false }: { readonly indented?: boolean } = {},
): string {
	return JSON.stringify({ schema: schemaId(name), ...record }, withBigInts, indented ? 2 : undefined);
}

/** ECMAScript 2026: Node has it, but TypeScript's library does not declare it yet. */
const { rawJSON } = JSON as typeof JSON & { readonly rawJSON: (text: string) => object };

/** 64-bit counters with all their digits; a reader that uses doubles rounds them. */
function withBigInts(_key: string, value: unknown): unknown {
	return typeof value === "bigint" ? rawJSON(value.toString()) : value;
}
