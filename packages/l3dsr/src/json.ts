/** Records as JSON, the same for --json, the journal's readers and the HTTP API: packages/records describes them. */
import { type Standalone, type StandaloneName, schemaId, type Unprinted } from "@l3dsr/records";

/** A record as it is before it is printed: counters may be bigint. */
export type Printable<N extends StandaloneName> = Unprinted<Standalone[N]>;

/** One record, which says first which it is; `indented` for people, else on one line. */
export function jsonText<N extends StandaloneName>(
	name: N,
	record: Printable<N>,
	{ indented = false }: { readonly indented?: boolean } = {},
): string {
	return JSON.stringify({ schema: schemaId(name), ...record }, withBigInts, indented ? 2 : undefined);
}

/** ECMAScript 2026, which Node has and TypeScript's library does not know yet. */
const { rawJSON } = JSON as typeof JSON & { readonly rawJSON: (text: string) => object };

/** Counters of 64 bits with all their digits; a reader that has only doubles rounds them. */
function withBigInts(_key: string, value: unknown): unknown {
	return typeof value === "bigint" ? rawJSON(value.toString()) : value;
}
