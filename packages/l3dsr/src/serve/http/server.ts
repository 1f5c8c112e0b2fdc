/** The HTTP servers, one for each socket: their limits, and what all answers have in common. */
import {
	createServer,
	type IncomingMessage,
	type Server,
	type ServerOptions,
	type ServerResponse,
} from "node:http";
import type { Duplex } from "node:stream";
import type { HttpSettings } from "../wire.ts";
import { type Admission, refusalOf } from "./admission.ts";
import { Connections } from "./connections.ts";
import { errorsBody, type Routes } from "./routes.ts";

/** For all sockets together. */
const MOST_CONNECTIONS = 256;
const LIMITS = {
	/** Bytes of the request line and the headers. */
	maxHeaderSize: 8192,
	/** Milliseconds from the first byte of a request to the end of its headers, and to its end. */
	headersTimeout: 5000,
	requestTimeout: 5000,
	keepAliveTimeout: 65_000,
	connectionsCheckingInterval: 1000,
	requireHostHeader: true,
	insecureHTTPParser: false,
} as const satisfies ServerOptions;
const MOST_HEADERS = 64;
/** A connection is closed after this long without a byte read or written, even if the client is just not reading. */
const SILENCE_MS = 70_000;
/** A connection is closed if its client has not read an answer this long after it was written. */
const UNREAD_MS = 10_000;

const SECURITY_HEADERS = {
	"content-security-policy":
		"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
		"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"cross-origin-resource-policy": "same-origin",
	"cross-origin-opener-policy": "same-origin",
	"referrer-policy": "no-referrer",
	"x-content-type-options": "nosniff",
} as const;

export interface Serving {
	readonly connections: () => number;
	readonly close: () => void;
}

/** Serves on every socket of the settings. Rejects if one cannot be used. */
export async function serve(settings: HttpSettings, routes: Routes): Promise<Serving> {
	const connections = new Connections(MOST_CONNECTIONS);
	const admission: Admission = {
		hosts: new Set(settings.hosts),
		...(settings.tokenHash === undefined ? {} : { tokenHash: Buffer.from(settings.tokenHash, "hex") }),
	};
	const servers: Server[] = [];
	for (const { fd, trusted } of settings.sockets) {
		const secure = settings.tls !== undefined && !trusted;
		const handle = (request: IncomingMessage, response: ServerResponse): void =>
			answer({ request, response, trusted, secure }, admission, routes);
		const server = secure ? await secureServer(settings.tls, handle) : createServer(LIMITS, handle);
		server.maxHeadersCount = MOST_HEADERS;
		// A client that has closed its sending side (`nc -N`) still gets its answer. Node does not document this option.
		Object.assign(server, { httpAllowHalfOpen: true });
		server.setTimeout(SILENCE_MS);
		connections.watch(server);
		server.on("clientError", refuseUnreadable);
		servers.push(server);
		await new Promise<void>((resolve, reject) => {
			server.once("error", reject);
			server.listen({ fd }, resolve);
		});
		// A connection that cannot be accepted (no descriptor left) does not stop the server.
		server.on("error", () => {});
	}
	return {
		connections: () => connections.count,
		close: () => {
			for (const server of servers) {
				server.close();
				server.closeAllConnections();
			}
		},
	};
}

/** The client is not told what was wrong with a malformed request. */
function refuseUnreadable(error: NodeJS.ErrnoException, socket: Duplex): void {
	if (!socket.writable || error.code === "ECONNRESET") {
		socket.destroy();
		return;
	}
	const status = UNREADABLE[error.code ?? ""] ?? "400 Bad Request";
	socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

/** Error codes of Node's parser with a status other than 400. */
const UNREADABLE: Readonly<Record<string, string>> = {
	HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
	ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};

async function secureServer(
	tls: NonNullable<HttpSettings["tls"]>,
	handle: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Server> {
	const { createServer: create } = await import("node:https");
	return create(
		{
			...LIMITS,
			cert: tls.certificate,
			key: tls.key,
			minVersion: "TLSv1.2",
			handshakeTimeout: 5000,
		},
		handle,
	);
}

interface Exchange {
	readonly request: IncomingMessage;
	readonly response: ServerResponse;
	readonly trusted: boolean;
	readonly secure: boolean;
}

function answer(
	{ request, response, trusted, secure }: Exchange,
	admission: Admission,
	routes: Routes,
): void {
	const target = request.url ?? "";
	const path = target.split("?", 1)[0] ?? "";
	// The body is not read, so the connection closes after the answer.
	if (request.headers["content-length"] !== undefined || request.headers["transfer-encoding"] !== undefined) {
		response.setHeader("connection", "close");
	}
	for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
	destroyIfUnread(response);
	response.on("error", () => response.destroy());
	const hostHeaders = request.rawHeaders.filter(
		(name, index) => index % 2 === 0 && name.toLowerCase() === "host",
	);
	const refused = refusalOf(
		{
			headers: request.headers,
			hostHeaders: hostHeaders.length,
			target,
			trusted,
			secure,
			needsToken: routes.needsToken(path),
		},
		admission,
	);
	if (refused !== undefined) {
		if (refused.status === 401) response.setHeader("www-authenticate", 'Bearer realm="l3dsr"');
		routes.count(path, refused.status);
		end(response, refused.status, errorsBody("API_REFUSED", refused.message, refused.hint));
		return;
	}
	if (request.method !== "GET" && request.method !== "HEAD") {
		response.setHeader("allow", "GET, HEAD");
		routes.count(path, 405);
		end(response, 405, errorsBody("API_REQUEST", "only GET is supported: no request changes this host"));
		return;
	}
	routes.handle(request, response, new URLSearchParams(target.slice(path.length))).catch((error: unknown) => {
		process.stderr.write(`answer ${path}: ${error instanceof Error ? error.message : String(error)}\n`);
		if (response.headersSent) response.destroy();
		else end(response, 500, errorsBody("INTERNAL", "this request could not be answered"));
	});
}

/** The time starts when the whole answer has been written, not while the agent is asked for it. A stream never ends. */
function destroyIfUnread(response: ServerResponse): void {
	response.once("prefinish", () => {
		const unread = setTimeout(() => response.destroy(), UNREAD_MS).unref();
		response.once("close", () => clearTimeout(unread));
	});
}

function end(response: ServerResponse, status: number, body: string): void {
	response.writeHead(status, {
		"content-type": "application/json",
		"content-length": Buffer.byteLength(body),
		"cache-control": "no-store",
	});
	response.end(body);
}
