/**
 * What the HTTP process may not read itself, so that the agent passes it on: the certificate, its key and the token's
 * hash.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { L3dsrError } from "../errors.ts";
import { readFailure, readText } from "../host/files.ts";
import type { AgentSettings } from "../model/agent-settings.ts";

export interface HttpCredentials {
	readonly tls?: { readonly certificate: string; readonly key: string };
	/** SHA-256, in hex. */
	readonly tokenHash?: string;
}

const LEAST_TOKEN = 16;

/** Throws L3dsrError: CONFIG_READ, CONFIG_BAD_VALUE. What is the same in `known` is not checked again. */
export function readCredentials(
	{ tls, tokenFile }: AgentSettings,
	known: HttpCredentials = {},
): HttpCredentials {
	return {
		...(tls === undefined ? {} : { tls: readPair(tls, known.tls) }),
		...(tokenFile === undefined ? {} : { tokenHash: tokenHash(tokenFile) }),
	};
}

type Pair = NonNullable<HttpCredentials["tls"]>;

/** `paths`: of the two files. */
function readPair(paths: Pair, known: Pair | undefined): Pair {
	const pair = { certificate: read("the certificate", paths.certificate), key: read("the key", paths.key) };
	if (pair.certificate !== known?.certificate || pair.key !== known.key) requirePair(pair, paths);
	return pair;
}

/** Here, because the HTTP process could only end. Few agents use TLS, and the others do not load Node's. */
function requirePair({ certificate, key }: Pair, paths: Pair): void {
	try {
		process.getBuiltinModule("node:tls").createSecureContext({ cert: certificate, key });
	} catch (cause) {
		const { message, reason = message } = cause as Error & { readonly reason?: string }; // OpenSSL's, by Node
		throw new L3dsrError(
			{
				code: "CONFIG_BAD_VALUE",
				message: `use the certificate ${paths.certificate} with the key ${paths.key}: ${reason}`,
				hint: "both are PEM files, the key without a passphrase; the first certificate is the one for the key, and its chain follows",
			},
			{ cause },
		);
	}
}

function tokenHash(path: string): string {
	const [token = ""] = read("the token", path).split("\n");
	// The token must fit into a header.
	if (!/^[!-~]+$/.test(token.trim()) || token.trim().length < LEAST_TOKEN) {
		throw new L3dsrError({
			code: "CONFIG_BAD_VALUE",
			message: `read the token from ${path}: its first line must be at least ${LEAST_TOKEN} ASCII characters without blanks`,
			hint: `create one: head -c 32 /dev/urandom | base64 > ${path}`,
		});
	}
	return createHash("sha256").update(token.trim()).digest("hex");
}

function read(what: string, path: string): string {
	try {
		return readText(path);
	} catch (cause) {
		throw readFailure("CONFIG_READ", what, path, cause);
	}
}

export interface Identity {
	readonly uid: number;
	readonly gid: number;
	/** The user exists only for this process, so its group may use the Unix socket. */
	readonly own: boolean;
}

const OWN_USER = "l3dsr";
const NOBODY = "nobody";

/**
 * The user that the HTTP process runs as: `user`, else `l3dsr`, else `nobody`. Undefined if this process is not root;
 * both then run as the same user. `passwd` is the text of /etc/passwd. Throws L3dsrError (CONFIG_BAD_VALUE) if the
 * user does not exist or is root.
 */
export function identityFor(
	user: string | undefined,
	isRoot: boolean,
	passwd = readFileSync("/etc/passwd", "utf8"),
): Identity | undefined {
	if (!isRoot) return undefined;
	const entry = (name: string): Identity | undefined => {
		const fields = passwd
			.split("\n")
			.map((line) => line.split(":"))
			.find(([first]) => first === name);
		const [uid, gid] = [Number(fields?.[2]), Number(fields?.[3])];
		return fields === undefined || !(uid > 0) || !(gid > 0) ? undefined : { uid, gid, own: name !== NOBODY };
	};
	const found = user === undefined ? (entry(OWN_USER) ?? entry(NOBODY)) : entry(user);
	if (found !== undefined) return found;
	throw new L3dsrError({
		code: "CONFIG_BAD_VALUE",
		message: `serve HTTP as ${user ?? NOBODY}: /etc/passwd has no such user, or it is root`,
		hint: "create the user (useradd --system l3dsr), or name another one: agent: { user }",
	});
}
