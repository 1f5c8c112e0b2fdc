/**
 * The shape of fleet.yaml: one zod schema checks the file and generates its JSON Schema for editors
 * (docs/reference/fleet.schema.json). read-value.ts here and in ../config check single values.
 */
import { DSCP_CLASSES, MAX_PORT } from "@l3dsr/packet";
import * as z from "zod/mini";
import {
	AFFINITIES,
	BALANCED_PROTOCOLS,
	CHECK_TYPES,
	ECHO_MODES,
	MOST_WEIGHT,
	POOL_DEFAULTS,
	REAL_STATES,
} from "../../model/fleet.ts";
import { NAME_PATTERN } from "../config/read-value.ts";
import { DURATION_PATTERN, HOST_PATTERN, PATH_PATTERN, PERCENTAGE_PATTERN } from "./read-value.ts";

function described<T extends z.ZodMiniType>(schema: T, description: string, standard?: unknown): T {
	z.globalRegistry.add(schema, { description, ...(standard === undefined ? {} : { default: standard }) });
	return schema;
}

const matching = (pattern: RegExp) => z.string().check(z.regex(pattern));
const between = (least: number, most: number) => z.int().check(z.minimum(least), z.maximum(most));
const oneOrMore = <T extends z.ZodMiniType>(item: T) => z.union([item, z.array(item).check(z.minLength(1))]);

// The registry identifies schemas by object, so each use needs its own.
const name = () => matching(NAME_PATTERN);
const duration = () => matching(DURATION_PATTERN);
const port = () => between(1, MAX_PORT);
const code = z.union([
	between(1, 63),
	matching(new RegExp(`^(${Object.keys(DSCP_CLASSES).join("|")})$`)),
	matching(/^(0x[0-9a-fA-F]{1,2}|[1-9][0-9]?)$/),
]);
export const familyCodesSchema = z.strictObject({ ipv4: z.optional(code), ipv6: z.optional(code) });

export const fleetServiceSchema = z.strictObject({
	port: described(
		z.union([port(), z.literal("any")]),
		"The VIP's port; any: every port that no other service of the VIP has.",
	),
	protocol: described(oneOrMore(z.enum(BALANCED_PROTOCOLS)), "tcp, udp, or a list of both."),
	pool: described(name(), "The pool whose real servers share the load."),
	affinity: described(
		z.optional(z.enum(AFFINITIES)),
		"What stays on one real server: a flow, or everything from one client address (source).",
		"flow",
	),
});

export const fleetVipSchema = z.strictObject({
	name: described(name(), "Name of the VIP, unique in the fleet."),
	addresses: described(
		oneOrMore(z.string()),
		"The address that clients connect to, or a list of such addresses.",
	),
	dscp: described(
		z.union([code, familyCodesSchema]),
		"The code by which real servers know the VIP, 1-63, or one for each family: {ipv4: 7, ipv6: 9}.",
	),
	services: described(z.optional(z.array(fleetServiceSchema)), "What is balanced on the VIP."),
	echo: described(
		z.optional(z.enum(ECHO_MODES)),
		"Who answers a ping of the VIP: the director's kernel, its program (reply), or a real server.",
		"kernel",
	),
});

export const realSchema = z.strictObject({
	name: described(name(), "Name of the real server, unique in its pool."),
	addresses: described(oneOrMore(z.string()), "Its own address; at most one for each family."),
	weight: described(
		z.optional(between(0, MOST_WEIGHT)),
		"Share of the load, relative to the others of the pool.",
		POOL_DEFAULTS.weight,
	),
	state: described(
		z.optional(z.enum(REAL_STATES)),
		"drain: keeps its flows and takes no new ones. disabled: takes no packets.",
		"enabled",
	),
});

export const checkSchema = z.strictObject({
	type: described(z.enum(CHECK_TYPES), "What is asked of each real server, through the VIP's path."),
	port: described(z.optional(port()), "The port to check. Default: the port of each service."),
	path: described(z.optional(matching(PATH_PATTERN)), "http, https: the path of the request.", "/"),
	expect: described(
		z.optional(z.union([between(100, 599), z.array(between(100, 599)).check(z.minLength(1)), z.string()])),
		"http, https: the status code of a healthy answer, or a list. udp: how the answer must begin.",
	),
	host: described(
		z.optional(matching(HOST_PATTERN)),
		"http, https: the Host header. Default: the VIP's address.",
	),
	verify: described(
		z.optional(z.boolean()),
		"https: whether the certificate must be valid for the host.",
		true,
	),
	send: described(
		z.optional(z.union([z.string(), z.number()])),
		"udp: the payload, as text or as 0x and hexadecimal digits.",
	),
	command: described(
		z.optional(z.array(z.string()).check(z.minLength(1))),
		"exec: program and arguments; exit status 0 is healthy.",
	),
	interval: described(duration(), "Time between two checks of a real server, such as 100ms."),
	timeout: described(duration(), "How long to wait for an answer; at most the interval."),
	fall: described(z.optional(between(1, 100)), "Failures in a row after which a real server is down.", 3),
	rise: described(z.optional(between(1, 100)), "Successes in a row after which it is up again.", 2),
});

export const poolSchema = z.strictObject({
	reals: described(z.array(realSchema), "The real servers that share the load; an empty list is allowed."),
	check: described(z.optional(checkSchema), "How their health is checked. Default: they count as healthy."),
	drain: described(
		z.optional(duration()),
		"How long a changed slot remembers the flows of its previous real server.",
		"15m",
	),
	floor: described(
		z.optional(matching(PERCENTAGE_PATTERN)),
		"If fewer enabled real servers than this are healthy, the check counts as broken and all are used.",
		"50%",
	),
});

export const fleetSchema = z.strictObject({
	vips: described(z.array(fleetVipSchema), "The VIPs of the fleet; an empty list must be written as []."),
	pools: described(z.optional(z.record(name(), poolSchema)), "Pools of real servers, by name."),
});
