/** Properties of a number in a register or in memory, besides its size. */

/** Byte order of a number in memory or in a register; `none` if it has no meaning (bytes, raw sums). */
export type ByteOrder = "host" | "network" | "none";

/** The kind of a register's contents; the packet pointers are those of the context. */
export type ValueKind = "scalar" | "packet" | "packet end" | "packet meta" | "stack" | "pointer";
