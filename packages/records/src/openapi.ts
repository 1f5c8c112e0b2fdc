/** The OpenAPI document of the agent's API (OpenAPI 3.1); docs/reference/openapi.yaml is generated from it. */
import { jsonSchemas } from "./named.ts";

type Json = Readonly<Record<string, unknown>>;

/** The records that are served. */
const SERVED = ["status", "findings", "events", "fleet", "trace", "errors"] as const;

const answer = (name: string, description: string): Json => ({
	description,
	headers: { ETag: { description: "The ETag of this response.", schema: { type: "string" } } },
	content: { "application/json": { schema: { $ref: `#/components/schemas/${name}` } } },
});

const refusal = (description: string): Json => ({
	description,
	content: { "application/json": { schema: { $ref: "#/components/schemas/Errors" } } },
});

const REFUSALS: Json = {
	"401": refusal("The token is missing or wrong."),
	"403": refusal("The Host or Origin header does not name this server."),
	"500": refusal("A fault of l3dsr."),
	"503": refusal("The agent has no data yet, or does not answer; or too many event streams are open."),
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
	query("port", PORT, "Destination port; default 80. Not with icmp."),
	query("source", PORT, "Source port; default 40000. Not with icmp."),
	query("dscp", { type: "integer", minimum: 0, maximum: 63, default: 0 }, "DSCP of the packet."),
	query("ecn", { type: "integer", minimum: 0, maximum: 3, default: 0 }, "ECN bits."),
	query("ttl", { type: "integer", minimum: 0, maximum: 255, default: 64 }, "TTL or hop limit."),
	query("mark", { type: "integer", minimum: 0, maximum: 0xffffffff, default: 0 }, "Packet mark."),
	query("interface", { type: "string", maxLength: 127 }, "The interface on which it arrives."),
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
				"The state of a host, from its agent. Read-only: no request changes the host. The number in a path and in the schema " +
				"of a record is increased when a field is removed, is renamed or changes its meaning; new fields may be added at any time. " +
				"Methods other than GET and HEAD get 405, and other paths 404, with Errors as the body.",
		},
		servers: [{ url: "http://127.0.0.1:9470" }],
		security: [{}, { token: [] }],
		paths: {
			"/v1/status": get("What runs on this host, with current counters", {
				"200": answer("Status", "The record of `l3dsr status --json`, with `agent`."),
				"304": { description: "It is what If-None-Match says." },
			}),
			"/v1/findings": get("Drift and faults, with remedies", {
				"200": answer("Findings", "Drift, findings of the host checks, and faults of the configuration."),
				"304": { description: "It is what If-None-Match says." },
			}),
			"/v1/events": get(
				"Past and new events",
				{
					"200": {
						description:
							"With `Accept: text/event-stream`, an endless stream of server-sent events: `event: event` has one " +
							"Event as its data and its id; `event: status` says that the status or the findings have changed, with " +
							'`{"time": …}` as its data. A stream begins with the stored events after ' +
							"Last-Event-ID. Otherwise, the latest events as one record.",
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
			"/v1/fleet": get("The fleet's table that is in force on this host", {
				"200": answer("Fleet", "Without VIPs and pools if this host has no fleet."),
				"304": { description: "It is what If-None-Match says." },
			}),
			"/v1/trace": get(
				"What would happen to a packet: rule by rule, before and after",
				{
					"200": answer("Trace", "The record of `l3dsr trace --json`. Sends nothing and changes no counter."),
					"400": refusal("A field of the packet is missing or invalid."),
					"429": refusal("Too many traces per second."),
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
					description: "Required if `agent: { token-file }` is set.",
				},
			},
			schemas: jsonSchemas("#/components/schemas/", SERVED),
		},
	};
}
