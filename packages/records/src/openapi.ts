/** The OpenAPI document of what the agent serves (OpenAPI 3.1), of which docs/reference/openapi.yaml is the text. */
import { jsonSchemas } from "./named.ts";

type Json = Readonly<Record<string, unknown>>;

/** The records that are served. */
const SERVED = ["status", "findings", "events", "fleet", "trace", "errors"] as const;

const answer = (name: string, description: string): Json => ({
	description,
	headers: { ETag: { description: "Of this answer.", schema: { type: "string" } } },
	content: { "application/json": { schema: { $ref: `#/components/schemas/${name}` } } },
});

const refusal = (description: string): Json => ({
	description,
	content: { "application/json": { schema: { $ref: "#/components/schemas/Errors" } } },
});

const REFUSALS: Json = {
	"401": refusal("A token is needed, and none or another one was sent."),
	"403": refusal("The Host or Origin header names something else than this server."),
	"503": refusal("The agent has not told of this yet, or does not answer."),
};

const get = (summary: string, responses: Json, more: Json = {}): Json => ({
	get: { summary, ...more, responses: { ...responses, ...REFUSALS } },
});

const query = (name: string, schema: Json, description: string, required = false): Json => ({
	name,
	in: "query",
	required,
	description,
	schema,
});

const ADDRESS = { type: "string" };
const PORT = { type: "integer", minimum: 1, maximum: 65535 };

const TRACE_PARAMETERS: readonly Json[] = [
	query("from", ADDRESS, "Source address.", true),
	query("to", ADDRESS, "Destination address; on a real server its own, on a director the VIP.", true),
	query("protocol", { type: "string", enum: ["tcp", "udp", "icmp"], default: "tcp" }, "What to send."),
	query("port", PORT, "Destination port; 80 where it is absent. Not with icmp."),
	query("source", PORT, "Source port; 40000 where it is absent. Not with icmp."),
	query("dscp", { type: "integer", minimum: 0, maximum: 63, default: 0 }, "DSCP of the packet."),
	query("ecn", { type: "integer", minimum: 0, maximum: 3, default: 0 }, "ECN bits."),
	query("ttl", { type: "integer", minimum: 0, maximum: 255, default: 64 }, "TTL or hop limit."),
	query("mark", { type: "integer", minimum: 0, maximum: 0xffffffff, default: 0 }, "Packet mark."),
	query("interface", { type: "string", maxLength: 127 }, "Where it arrives."),
];

/** `version` is that of l3dsr. */
export function openApi(version: string): Json {
	return {
		openapi: "3.1.0",
		info: {
			title: "l3dsr agent",
			version,
			license: { name: "Apache-2.0", identifier: "Apache-2.0" },
			description:
				"What the agent of a host shows. Read-only: no request changes the host. The number in a path and in the schema " +
				"of a record goes up when a field is removed, renamed or gets another meaning; new fields may come at any time.",
		},
		servers: [{ url: "http://127.0.0.1:9470" }],
		security: [{}, { token: [] }],
		paths: {
			"/v1/status": get("What runs on this host, with counters as they are now", {
				"200": answer("Status", "The record of `l3dsr status --json`, with `agent`."),
				"304": { description: "It is what If-None-Match says." },
			}),
			"/v1/findings": get("What is not as it should be, with remedies", {
				"200": answer(
					"Findings",
					"Drift, what the checks of the host found, and faults of the configuration.",
				),
				"304": { description: "It is what If-None-Match says." },
			}),
			"/v1/events": get(
				"What has happened, and what happens",
				{
					"200": {
						description:
							"With `Accept: text/event-stream` a stream of server-sent events that does not end: `event: event` has one " +
							"Event as its data and its id; `event: status` says that the status or the findings have changed, with " +
							'`{"time": …}` as its data. A stream begins with the events that the agent still knows and that are later than ' +
							"Last-Event-ID. Otherwise the latest events as one record.",
						content: {
							"application/json": { schema: { $ref: "#/components/schemas/Events" } },
							"text/event-stream": { schema: { type: "string" } },
						},
					},
				},
				{
					parameters: [
						{
							name: "Last-Event-ID",
							in: "header",
							description: "Only events with a greater id.",
							schema: { type: "integer", minimum: 0 },
						},
					],
				},
			),
			"/v1/fleet": get("The fleet's table, as this host has it in force", {
				"200": answer("Fleet", "Without VIPs and pools where this host has no fleet."),
				"304": { description: "It is what If-None-Match says." },
			}),
			"/v1/trace": get(
				"What would happen to a packet: rule by rule, before and after",
				{
					"200": answer("Trace", "The record of `l3dsr trace --json`. Nothing is sent and no counter moves."),
					"400": refusal("A field of the packet is missing or cannot be read."),
					"429": refusal("More traces are asked for than the agent makes in a second."),
				},
				{ parameters: TRACE_PARAMETERS },
			),
			"/metrics": get("Metrics for Prometheus", {
				"200": {
					description: "The text format, version 0.0.4. docs/reference/metrics.md lists the metrics.",
					content: { "text/plain": { schema: { type: "string" } } },
				},
			}),
		},
		components: {
			securitySchemes: {
				token: {
					type: "http",
					scheme: "bearer",
					description: "Needed where `agent: { token-file }` is set.",
				},
			},
			schemas: jsonSchemas("#/components/schemas/", SERVED),
		},
	};
}
