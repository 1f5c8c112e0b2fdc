/** What l3dsr.yaml says of the agent itself: where it shows what it does, and to whom. */
import { type Address, parseAddress } from "@l3dsr/packet";

export type ListenAddress =
	| { readonly kind: "unix"; readonly path: string }
	| { readonly kind: "tcp"; readonly address: Address; readonly port: number };

export interface AgentSettings {
	/** Where HTTP is served; empty: nowhere. */
	readonly listen: readonly ListenAddress[];
	/** Names by which this host is called in URLs, beside its own host name, localhost and addresses. */
	readonly hosts: readonly string[];
	/** Files of PEM: the certificate, with those that lead to the root behind it, and its key. TCP speaks HTTPS then. */
	readonly tls?: { readonly certificate: string; readonly key: string };
	/** A file whose first line is the token that clients of TCP must send. */
	readonly tokenFile?: string;
	/** Whom the process that speaks HTTP runs as. */
	readonly user?: string;
}

/** As in a URL: `127.0.0.1:9470`, `[::1]:9470`, `/run/l3dsr/agent.sock`. */
export function listenText(listen: ListenAddress): string {
	if (listen.kind === "unix") return listen.path;
	const { address, port } = listen;
	return address.family === "ipv6" ? `[${address.text}]:${port}` : `${address.text}:${port}`;
}

export const AGENT_SOCKET = "/run/l3dsr/agent.sock";
export const AGENT_PORT = 9470;

/** Where the file says nothing: the Unix socket, and loopback. */
export function defaultAgentSettings(): AgentSettings {
	const loopback = parseAddress("127.0.0.1");
	if (loopback === undefined) throw new RangeError("127.0.0.1 is an address");
	return {
		listen: [
			{ kind: "unix", path: AGENT_SOCKET },
			{ kind: "tcp", address: loopback, port: AGENT_PORT },
		],
		hosts: [],
	};
}
