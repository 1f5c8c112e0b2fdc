/**
 * Whether a request is answered at all: which name it calls this host by, from which page it comes, and its token. Names
 * keep pages of other sites out whose name was made to lead here (DNS rebinding). Pure.
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
	/** How often the request has the Host header. */
	readonly hostHeaders: number;
	/** As it stands in the request line. */
	readonly target: string;
	/** It came over a Unix socket. */
	readonly trusted: boolean;
	readonly secure: boolean;
	/** What is asked for needs the token, where there is one. */
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

/** Lower case, without port, brackets and the dot at the end; undefined for what is not HOST or HOST:PORT. */
function hostName(text: string): string | undefined {
	const [, bracketed, plain] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/.exec(text) ?? [];
	return bracketed ?? plain?.toLowerCase().replace(/\.$/, "");
}

/** A browser says which page asks, but for the page that it goes to itself. */
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
