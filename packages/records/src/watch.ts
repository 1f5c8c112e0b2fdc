/** Packets that are rewritten, as it happens: a line each of `l3dsr watch --json`. */
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
	clientPort: described(z.nullable(whole()), "null in later fragments, and where the protocol has no ports."),
	vip: address(),
	port: described(z.nullable(whole()), "The destination port that the packet came with."),
	protocol: z.nullable(protocol()),
	dscp: dscp(),
	real: described(address(), "The destination that it came with."),
	interface: text(),
	datapath: datapath(),
	bytes: whole(),
	service: described(z.nullable(text()), "null for a rule that up has not made."),
	...placedRule,
});

export const watchLeftOut = record({
	schema: schema("watch-left-out"),
	leftOut: described(counter(), "Packets since the line before that --rate has left out."),
});
