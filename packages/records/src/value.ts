/** The values that records are made of. */
import * as z from "zod/mini";
import { type StandaloneName, schemaId } from "./version.ts";

/** With a description, which goes into the JSON Schema and the OpenAPI document. */
export function described<T extends z.ZodMiniType>(schema: T, description: string): T {
	z.globalRegistry.add(schema, { description });
	return schema;
}

export const text = () => z.string();
export const flag = () => z.boolean();
/** A whole number from 0 on, as far as a double holds it exactly. */
export const whole = () => z.int().check(z.minimum(0));
export const number = () => z.number();

/** A counter of 64 bits: all its digits are printed, and a reader that has only doubles rounds those above 2^53. */
export const counter = () => z.number().check(z.minimum(0), z.multipleOf(1));

export const list = <T extends z.ZodMiniType>(item: T) => z.readonly(z.array(item));
export const record = z.strictObject;

export const time = () =>
	described(z.iso.datetime({ precision: 3 }), "A moment: RFC 3339, UTC, milliseconds.");

export const dscp = () => described(z.int().check(z.minimum(0), z.maximum(63)), "A DSCP, 0-63.");
export const port = () => described(z.int().check(z.minimum(1), z.maximum(65535)), "A port.");
export const address = () => described(text(), "An IPv4 or IPv6 address.");
export const protocol = () =>
	described(
		text(),
		"The name of an IP protocol (tcp, udp, ipv6-icmp); the number as text where it has none.",
	);

export const datapath = () => z.enum(["ebpf", "nft"]);
export const hook = () =>
	described(z.enum(["tcx", "clsact", "xdp", "xdp-generic"]), "Where the program of a rule is attached.");

/** What each record that stands alone begins with. */
export const schema = <N extends StandaloneName>(name: N) =>
	described(z.literal(schemaId(name)), "Which record this is, and its version.");

export const counters = {
	packets: described(counter(), "Packets since the rule or the real server was put in place."),
	bytes: described(counter(), "Bytes of IP packets, headers included."),
};

/** Per second, over the time since the record before. */
export const rate = record({ packets: number(), bytes: number() });

/** One difference between a host and its configuration. */
export const drift = record({
	kind: text(),
	object: described(text(), "192.0.2.1 on lo, a rule of web."),
	problem: described(text(), "The end of a sentence that begins with the object."),
});

/** A DADDR rule and where it stands. */
export const placedRule = {
	family: z.enum(["ipv4", "ipv6"]),
	table: text(),
	rule: described(text(), "As iptables-daddr -S prints it."),
};
