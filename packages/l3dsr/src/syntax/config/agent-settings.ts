/** The key `agent` of l3dsr.yaml: where the agent serves its state, and to whom. */
import { parseAddress } from "@l3dsr/packet";
import {
	AGENT_PORT,
	type AgentSettings,
	defaultAgentSettings,
	type ListenAddress,
} from "../../model/agent-settings.ts";
import { bad, good, type Reading, readPort } from "./read-value.ts";
import type { Path, ValueReader } from "./value-reader.ts";

/** sizeof(sun_path) minus the zero byte, unix(7). */
const MAX_SOCKET_PATH_BYTES = 107;

/** `/run/l3dsr/agent.sock`, `127.0.0.1:9470`, `[2001:db8::1]:9470`. */
export function readListen(text: string): Reading<ListenAddress> {
	if (text.startsWith("/")) {
		if (Buffer.byteLength(text) <= MAX_SOCKET_PATH_BYTES && !text.endsWith("/")) {
			return good({ kind: "unix", path: text });
		}
		return bad(`"${text}" is not the path of a socket, expected at most ${MAX_SOCKET_PATH_BYTES} bytes`);
	}
	const parts = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
	const address = parseAddress(parts?.[1] ?? parts?.[2] ?? "");
	const port = readPort(parts?.[3] ?? "");
	const isBracketed = parts?.[1] !== undefined;
	if (address === undefined || !port.ok || isBracketed !== (address.family === "ipv6")) {
		const whole = parseAddress(text);
		const written = whole?.family === "ipv6" ? `[${whole.text}]` : whole?.text;
		return bad(
			`"${text}" is not a listening address, expected ADDRESS:PORT, [IPV6-ADDRESS]:PORT or the path of a Unix socket`,
			written === undefined ? undefined : `write ${written}:${AGENT_PORT}`,
		);
	}
	return good({ kind: "tcp", address, port: port.value });
}

/** A host name as in a URL (RFC 1123). */
function readHost(text: string): Reading<string> {
	const label = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
	if (text.length <= 253 && new RegExp(`^${label}(\\.${label})*$`).test(text))
		return good(text.toLowerCase());
	return bad(`"${text}" is not a host name, expected one without a port`);
}

const AGENT_KEYS: Path = ["agent"];

interface GivenAgent {
	readonly listen?: unknown;
	readonly tls?: { readonly certificate: string; readonly key: string } | undefined;
	readonly "token-file"?: string | undefined;
	readonly user?: string | undefined;
}

/** `given` has passed the schema; other faults are reported to `values`. */
export function readAgentSettings(given: GivenAgent, values: ValueReader): AgentSettings {
	const isNone = Array.isArray(given.listen) && given.listen.length === 0;
	const listen = values.many([...AGENT_KEYS, "listen"], readListen);
	return {
		listen: isNone ? [] : (listen ?? defaultAgentSettings().listen),
		hosts: values.many([...AGENT_KEYS, "hosts"], readHost) ?? [],
		...(given.tls === undefined ? {} : { tls: given.tls }),
		...(given["token-file"] === undefined ? {} : { tokenFile: given["token-file"] }),
		...(given.user === undefined ? {} : { user: given.user }),
	};
}
