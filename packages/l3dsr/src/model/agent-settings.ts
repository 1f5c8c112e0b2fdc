/** The agent's own settings in l3dsr.yaml: where it serves its state, and to whom. */
import { type Address, parseAddress } from "@l3dsr/packet";

export type ListenAddress =
	| { readonly kind: "unix"; readonly path: string }
	| { readonly kind: "tcp"; readonly address: Address; readonly port: number };

export interface AgentSettings {
	/** Where to serve HTTP; empty: nowhere. */
	readonly listen: readonly ListenAddress[];
	/** Further names of this host in URLs, besides its host name, localhost and addresses. */
	readonly hosts: readonly string[];
	/** PEM files: the certificate, followed by its chain to the root, and its key. TCP sockets then use HTTPS. */
	readonly tls?: { readonly certificate: string; readonly key: string };
	/** A file whose first line is the token that TCP clients must send. */
	readonly tokenFile?: string;
	/** The user that the HTTP process runs as. */
	readonly user?: string;
}

/** As in a URL: `127.0.0.1:9470`, `[::1]:9470`, `/run/l3dsr/agent.sock`. */
export function listenText(listen: ListenAddress): string {
	if (listen.kind === "unix") return listen.path;
	const { address, port } = listen;
	return address.family === "ipv6" ? `[${address.text}]:${port}` : `${address.text}:${port}`;
}

const AGENT_SOCKET = "/run/l3dsr/agent.sock";
export const AGENT_PORT = 9470;

/** The defaults: the Unix socket and loopback. */
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
