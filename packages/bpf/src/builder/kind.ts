/** What a number in a register or in memory is, beside its size. */

/** Byte order of a number in memory or in a register; `none` where it has no meaning (bytes, raw sums). */
export type ByteOrder = "host" | "network" | "none";

/** What a register holds; the packet pointers are those of contexts. */
export type ValueKind = "scalar" | "packet" | "packet end" | "packet meta" | "stack" | "pointer";
