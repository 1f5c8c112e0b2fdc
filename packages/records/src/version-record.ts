/** Version, kernel and features: `l3dsr version --json`. */
import * as z from "zod/mini";
import { described, record, schema, text } from "./value.ts";

export const tcChecksum = described(
	record({ by: z.enum(["program", "helper", "unknown"]), why: z.optional(text()) }),
	"Who writes the transport checksum of packets at tc.",
);

export const version = record({
	schema: schema("version"),
	l3dsr: text(),
	node: text(),
	kernel: text(),
	architecture: text(),
	distribution: z.nullable(text()),
	tcChecksum,
});
