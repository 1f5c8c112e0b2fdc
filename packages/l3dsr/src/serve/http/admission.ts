/**
 * Decides whether to answer a request at all: by the host name it uses, the page that sent it, and its token.
 * Checking the host name stops pages of other sites whose name was made to resolve to this host (DNS rebinding).
 * Pure.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";

export interface Admission {
	/** Lower case. */
	readonly hosts: ReadonlySet<string>;
	/** SHA-256. */
	readonly tokenHash?: Uint8Array;
}

export interface Asked {
	readonly headers: IncomingHttpHeaders;
	/** The number of Host headers in the request. */
	readonly hostHeaders: number;
	/** The target in the request line, unchanged. */
	readonly target: string;
	/** True if the request came over a Unix socket. */
	readonly trusted: boolean;
	readonly secure: boolean;
	/** True if the path needs the token, where one is configured. */
	readonly needsToken: boolean;
}

export interface Refusal {
	readonly status: 400 | 401 | 403;
	readonly message: string;
	readonly hint: string;
}

export function refusalOf(asked: Asked, admission: Admission): Refusal | undefined {
	if (!asked.target.startsWith("/")) {
		return {
			status: 400,
			message: "the request target is not a path",
			hint: "this server is not a proxy: request /v1/status",
		};
	}
	if (asked.trusted) return undefined;
	return refusedHost(asked, admission) ?? refusedOrigin(asked) ?? refusedToken(asked, admission);
}

function refusedHost({ headers, hostHeaders }: Asked, { hosts }: Admission): Refusal | undefined {
	const name = hostHeaders === 1 ? hostName(headers.host ?? "") : undefined;
	if (name !== undefined && (isIP(name) !== 0 || hosts.has(name))) return undefined;
	return {
		status: 403,
		message: "the Host header does not name this host",
		hint: "use an address in the URL, or add the name to agent: { hosts } in l3dsr.yaml",
	};
}

/** The host in lower case, without port, brackets or trailing dot; undefined if the text is not HOST or HOST:PORT. */
function hostName(text: string): string | undefined {
	const [, bracketed, plain] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/.exec(text) ?? [];
	return bracketed ?? plain?.toLowerCase().replace(/\.$/, "");
}

/** A browser names the page that sent the request in Origin, except when the user opens a page. */
function refusedOrigin({ headers, secure }: Asked): Refusal | undefined {
	const { origin, host } = headers;
	if (origin === undefined || origin === `${secure ? "https" : "http"}://${host}`) return undefined;
	return {
		status: 403,
		message: "the request comes from a page of another site",
		hint: "open this host's own page",
	};
}

function refusedToken({ headers, needsToken }: Asked, { tokenHash }: Admission): Refusal | undefined {
	if (!needsToken || tokenHash === undefined) return undefined;
	const [, token] = /^Bearer +([!-~]+) *$/i.exec(headers.authorization ?? "") ?? [];
	if (token !== undefined) {
		const hash = createHash("sha256").update(token).digest();
		if (hash.length === tokenHash.length && timingSafeEqual(hash, tokenHash)) return undefined;
	}
	return {
		status: 401,
		message: token === undefined ? "the token is missing" : "the token is wrong",
		hint: "send Authorization: Bearer TOKEN, with the first line of agent: { token-file }",
	};
}
