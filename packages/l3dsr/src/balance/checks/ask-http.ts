/** http and https checks: a GET along the VIP's path, judged by its status code. */
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { isIP, Socket } from "node:net";
import type { Duplex } from "node:stream";
import {
	type ConnectionOptions,
	connect as connectTls,
	createSecureContext,
	getCACertificates,
	type SecureContext,
} from "node:tls";
import type { Check } from "../../model/fleet.ts";
import type { VipPath } from "../../vip-path/vip-path.ts";
import { connect } from "./ask-tcp.ts";
import type { CheckFailure, Stage } from "./failure.ts";
import type { CheckTarget } from "./targets.ts";

type HttpCheck = Extract<Check, { readonly type: "http" | "https" }>;

const DEFAULT_PORT = { http: 80, https: 443 } as const;

export async function askHttp(
	target: CheckTarget,
	check: HttpCheck,
	options: { readonly path: VipPath; readonly signal: AbortSignal },
): Promise<CheckFailure | undefined> {
	const deadline = performance.now() + check.timeoutMs;
	const connected = await connect(target, options, check.timeoutMs);
	if (!("connection" in connected)) return connected;
	// The socket receives packets only until the connection is disposed of.
	using connection = connected.connection;
	const socket = new Socket({ fd: connection.release(), readable: true, writable: true });
	try {
		return await exchange(socket, target, check, Math.max(0, deadline - performance.now()), options.signal);
	} finally {
		if (!socket.closed) {
			const isClosed = once(socket, "close");
			socket.destroy();
			await isClosed;
		}
	}
}

function exchange(
	socket: Socket,
	target: CheckTarget,
	check: HttpCheck,
	timeoutMs: number,
	signal: AbortSignal,
): Promise<CheckFailure | undefined> {
	return new Promise((resolve) => {
		let stage: Stage = check.type === "https" ? "tls" : "answer";
		let asked: ClientRequest | undefined;
		const end = (failure: CheckFailure | undefined) => {
			clearTimeout(timer);
			signal.removeEventListener("abort", onAbort);
			resolve(failure);
			asked?.destroy();
		};
		// Wait one turn of the event loop, so that an answer that arrived while this process was busy still counts.
		const timer = setTimeout(() => setImmediate(() => end({ kind: "timeout", stage })), timeoutMs);
		const onAbort = () => end({ kind: "timeout", stage });
		signal.addEventListener("abort", onAbort, { once: true });
		const onError = (error: NodeJS.ErrnoException) => end(failureOf(error, stage));
		// Keep this listener, so that an error after the result does not end the process.
		socket.on("error", onError);
		const ask = (stream: Duplex) => {
			stage = "answer";
			asked = request({
				method: "GET",
				path: check.path,
				headers: { Host: hostHeader(target, check), "User-Agent": "l3dsr-check", Connection: "close" },
				// Used instead of an agent.
				createConnection: () => stream,
			});
			asked.on("error", onError);
			asked.on("response", (response) => end(judge(response, check)));
			asked.end();
		};
		if (check.type === "http") return ask(socket);
		const secure = connectTls(tlsOptions(socket, target, check));
		secure.on("error", onError);
		secure.once("secureConnect", () => ask(secure));
	});
}

function judge({ statusCode = 0 }: IncomingMessage, { expect }: HttpCheck): CheckFailure | undefined {
	return expect.includes(statusCode) ? undefined : { kind: "status", status: statusCode, expected: expect };
}

/** The Host header that a browser would send for this VIP. */
function hostHeader({ vip, port }: CheckTarget, { type, host }: HttpCheck): string {
	if (host !== undefined) return host;
	const name = vip.family === "ipv6" ? `[${vip.text}]` : vip.text;
	return port === undefined || port === DEFAULT_PORT[type] ? name : `${name}:${port}`;
}

function tlsOptions(socket: Socket, { vip }: CheckTarget, { host, verify }: HttpCheck): ConnectionOptions {
	const name = host === undefined ? vip.text : nameIn(host);
	return {
		socket,
		host: name,
		// SNI must not be an address (RFC 6066, section 3).
		...(isIP(name) === 0 ? { servername: name } : {}),
		rejectUnauthorized: verify !== false,
		secureContext: verify === false ? trustingNobody() : trustingAuthorities(),
	};
}

/** Removes the port: `www.example.com:8443` gives `www.example.com`, `[2001:db8::1]:8443` gives `2001:db8::1`. */
function nameIn(host: string): string {
	if (isIP(host) !== 0) return host;
	return host.replace(/:[0-9]+$/, "").replace(/^\[(.*)\]$/, "$1");
}

// Created once, because reading hundreds of certificates takes about 100 ms.
let authorities: SecureContext | undefined;
let nobody: SecureContext | undefined;

/** Node's certificate authorities and this system's, which may include a company's own. */
function trustingAuthorities(): SecureContext {
	authorities ??= createSecureContext({
		ca: [...new Set([...getCACertificates("default"), ...getCACertificates("system")])],
	});
	return authorities;
}

function trustingNobody(): SecureContext {
	nobody ??= createSecureContext({ ca: [] });
	return nobody;
}

/** Error codes of Node and OpenSSL for a refused certificate. */
const CERTIFICATE_CODES: ReadonlySet<string> = new Set([
	"ERR_TLS_CERT_ALTNAME_INVALID",
	"UNABLE_TO_GET_ISSUER_CERT",
	"UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
	"UNABLE_TO_VERIFY_LEAF_SIGNATURE",
	"SELF_SIGNED_CERT_IN_CHAIN",
	"DEPTH_ZERO_SELF_SIGNED_CERT",
	"CERT_HAS_EXPIRED",
	"CERT_NOT_YET_VALID",
	"CERT_CHAIN_TOO_LONG",
	"CERT_REVOKED",
	"CERT_SIGNATURE_FAILURE",
	"CERT_UNTRUSTED",
	"CERT_REJECTED",
	"HOSTNAME_MISMATCH",
	"INVALID_CA",
	"INVALID_PURPOSE",
	"PATH_LENGTH_EXCEEDED",
]);

function failureOf(error: NodeJS.ErrnoException, stage: Stage): CheckFailure {
	const { code = "", message } = error;
	if (CERTIFICATE_CODES.has(code)) return { kind: "certificate", code, detail: message };
	if (code.startsWith("HPE_")) return { kind: "not-http", detail: message };
	if (code === "ECONNRESET" || code === "EPIPE") return { kind: "closed", stage };
	if (error.errno !== undefined) return { kind: "unreachable", errno: -error.errno };
	return stage === "tls" ? { kind: "tls", detail: message } : { kind: "not-http", detail: message };
}
