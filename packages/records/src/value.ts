/** The types of values in records. */
import * as z from "zod/mini";
import { type StandaloneName, schemaId } from "./version.ts";

/** Adds a description for the JSON Schema and the OpenAPI document. */
export function described<T extends z.ZodMiniType>(schema: T, description: string): T {
	z.globalRegistry.add(schema, { description });
	return schema;
}

export const text = () => z.string();
export const flag = () => z.boolean();
/** A whole number from 0 up to the largest that a double holds exactly. */
export const whole = () => z.int().check(z.minimum(0));
export const number = () => z.number();

/** A 64-bit counter: all its digits are printed, and a reader that uses doubles rounds values above 2^53. */
export const counter = () => z.number().check(z.minimum(0), z.multipleOf(1));

export const list = <T extends z.ZodMiniType>(item: T) => z.readonly(z.array(item));
export const record = z.strictObject;

export const time = () => described(z.iso.datetime({ precision: 3 }), "A time: RFC 3339, UTC, milliseconds.");

export const dscp = () => described(z.int().check(z.minimum(0), z.maximum(63)), "A DSCP, 0-63.");
export const port = () => described(z.int().check(z.minimum(1), z.maximum(65535)), "A port.");
export const address = () => described(text(), "An IPv4 or IPv6 address.");
export const protocol = () =>
	described(
		text(),
		"The name of an IP protocol (tcp, udp, ipv6-icmp); its number as text if it has no name.",
	);

export const datapath = () => z.enum(["ebpf", "nft"]);
export const hook = () =>
	described(z.enum(["tcx", "clsact", "xdp", "xdp-generic"]), "Where the program of a rule is attached.");

/** The first field of each standalone record. */
export const schema = <N extends StandaloneName>(name: N) =>
	described(z.literal(schemaId(name)), "The record's name and version.");

export const counters = {
	packets: described(counter(), "Packets since the rule or the real server was added."),
	bytes: described(counter(), "Bytes of IP packets, headers included."),
};

/** Per second, since the previous record. */
export const rate = record({ packets: number(), bytes: number() });

/** One difference between a host and its configuration. */
export const drift = record({
	kind: text(),
	object: described(text(), "192.0.2.1 on lo, a rule of web."),
	problem: described(text(), "The end of a sentence that begins with the object."),
});

/** A DADDR rule and its place. */
export const placedRule = {
	family: z.enum(["ipv4", "ipv6"]),
	table: text(),
	rule: described(text(), "As printed by iptables-daddr -S."),
};
