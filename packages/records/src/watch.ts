/** Packets that are rewritten or forwarded, as it happens: a line each of `l3dsr watch --json`. */
import * as z from "zod/mini";
import {
	address,
	counter,
	datapath,
	described,
	dscp,
	placedRule,
	protocol,
	record,
	schema,
	text,
	time,
	whole,
} from "./value.ts";

export const watch = record({
	schema: schema("watch"),
	time: time(),
	client: address(),
	clientPort: described(z.nullable(whole()), "null in later fragments, and if the protocol has no ports."),
	vip: address(),
	port: described(z.nullable(whole()), "The packet's original destination port."),
	protocol: z.nullable(protocol()),
	dscp: dscp(),
	real: described(address(), "The packet's original destination."),
	interface: text(),
	datapath: datapath(),
	bytes: whole(),
	service: described(z.nullable(text()), "null for a rule that up did not make."),
	...placedRule,
});

export const watchForwarded = record({
	schema: schema("watch-forwarded"),
	time: time(),
	client: address(),
	clientPort: described(z.nullable(whole()), "null in later fragments, and if the protocol has no ports."),
	vip: described(address(), "The packet's original destination."),
	port: z.nullable(whole()),
	protocol: z.nullable(protocol()),
	dscp: described(dscp(), "That the director set."),
	real: described(address(), "The real server that it was sent to."),
	interface: described(text(), "Where it arrived."),
	bytes: whole(),
	way: described(
		z.enum(["back", "redirect", "kernel"]),
		"How it left: by the interface that it came from, by another one, or by the kernel's routing.",
	),
});

export const watchLeftOut = record({
	schema: schema("watch-left-out"),
	leftOut: described(counter(), "Packets since the previous such line that --rate has left out."),
});
