/**
 * The agent's side of serving HTTP: it opens the sockets and keeps the HTTP process running. Nothing that process
 * does or fails to do stops the agent.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { ERRNO, forbidNewPrivileges, hostName, ListeningSocket, SyscallError } from "@l3dsr/linux";
import type { DiagnosticsOf } from "../errors.ts";
import { type AgentSettings, type ListenAddress, listenText } from "../model/agent-settings.ts";
import { Child, FIRST_SOCKET_FD } from "./child.ts";
import { type HttpCredentials, type Identity, identityFor, readCredentials } from "./credentials.ts";
import type { Shown } from "./shown.ts";
import type { HttpSettings } from "./wire.ts";

export interface FrontOptions {
	readonly settings: AgentSettings;
	readonly shown: Shown;
	/** Version of l3dsr. */
	readonly version: string;
	/** The command line of the HTTP process. */
	readonly command: readonly [string, ...string[]];
	/** Milliseconds between pings (child.ts). */
	readonly pingMs?: number;
	/** The folder of the page's files. */
	readonly page: string;
	readonly diagnosticsOf: DiagnosticsOf;
	/** Called with each problem, as a sentence. */
	readonly onProblem: (problem: string) => void;
}

const RESTART_MS = { first: 100, most: 30_000, settled: 10_000 } as const;
/** How often to try again to open or read what failed. */
const AGAIN_MS = 10_000;

interface OpenSocket {
	readonly listen: ListenAddress;
	readonly socket: ListeningSocket;
}

export class Front implements Disposable {
	readonly #options: FrontOptions;
	readonly #sockets = new Map<string, OpenSocket>();
	readonly #subscription: Disposable;
	#child: Child | undefined;
	/** The latest usable ones. */
	#credentials: HttpCredentials | undefined;
	#timer: NodeJS.Timeout | undefined;
	#restartMs: number = RESTART_MS.first;
	#closed = false;
	/** The last problem reported about each object. */
	readonly #said = new Map<string, string>();

	/** Opens what it can at once; reports the rest and never throws. */
	constructor(options: FrontOptions) {
		this.#options = options;
		this.#subscription = options.shown.subscribe((event) => this.#child?.tell(event));
		if (options.settings.listen.length > 0) this.#start();
	}

	/** Process id of the current HTTP process. */
	get pid(): number | undefined {
		return this.#child?.pid;
	}

	/** The open listening addresses: `127.0.0.1:9470`, `/run/l3dsr/agent.sock`. */
	get listening(): readonly string[] {
		return [...this.#sockets.keys()];
	}

	[Symbol.dispose](): void {
		this.#closed = true;
		clearTimeout(this.#timer);
		this.#subscription[Symbol.dispose]();
		this.#child?.stop();
		this.#child = undefined;
		for (const { socket } of this.#sockets.values()) socket[Symbol.dispose]();
		this.#sockets.clear();
	}

	/**
	 * Serves with the certificate, key and token that the files have now, if they have changed and are usable. Open
	 * connections are closed.
	 */
	refresh(): void {
		const before = this.#credentials;
		if (this.#child === undefined || before === undefined) return;
		if (JSON.stringify(this.#usableCredentials()) === JSON.stringify(before)) return;
		this.#child.stop();
		this.#child = undefined;
		this.#start();
	}

	/** Files that cannot be used, as while they are being renewed, change nothing. Throws L3dsrError if there are none. */
	#usableCredentials(): HttpCredentials {
		try {
			this.#credentials = readCredentials(this.#options.settings, this.#credentials);
			this.#said.delete("credentials");
		} catch (error) {
			if (this.#credentials === undefined) throw error;
			this.#say("credentials", `HTTP is served as before: ${this.#why(error)}`);
		}
		return this.#credentials;
	}

	/** Opens and starts what is missing; restarts a running process if a socket was added. */
	#start(): void {
		const before = this.#sockets.size;
		let complete: boolean;
		try {
			const { user } = this.#options.settings;
			const identity = identityFor(user, process.getuid?.() === 0);
			complete = this.#openSockets(identity);
			if (this.#sockets.size > before) {
				this.#child?.stop();
				this.#child = undefined;
			}
			if (this.#child === undefined && this.#sockets.size > 0) this.#child = this.#startChild(identity);
			this.#said.delete("start");
		} catch (error) {
			complete = false;
			this.#say("start", `cannot serve HTTP: ${this.#why(error)}`);
		}
		if (!complete) this.#again(AGAIN_MS);
	}

	#startChild(identity: Identity | undefined): Child {
		const { settings, shown, diagnosticsOf, version, command, page, pingMs } = this.#options;
		const credentials = this.#usableCredentials();
		const sockets = [...this.#sockets.values()];
		const name = hostName().toLowerCase();
		const http: HttpSettings = {
			version,
			sockets: sockets.map(({ listen }, index) => ({
				fd: FIRST_SOCKET_FD + index,
				trusted: listen.kind === "unix",
			})),
			hosts: ["localhost", name, name.split(".", 1)[0] ?? name, ...settings.hosts],
			...credentials,
			page,
		};
		forbidNewPrivileges();
		const startedAt = performance.now();
		return new Child({
			command,
			identity,
			fds: sockets.map(({ socket }) => socket.fd),
			settings: http,
			shown,
			diagnosticsOf,
			...(pingMs === undefined ? {} : { pingMs }),
			onEnd: (how) => {
				this.#child = undefined;
				if (performance.now() - startedAt > RESTART_MS.settled) this.#restartMs = RESTART_MS.first;
				this.#options.onProblem(`the process that serves HTTP has ended (${how}) and is restarted`);
				this.#again(this.#restartMs);
				this.#restartMs = Math.min(this.#restartMs * 2, RESTART_MS.most);
			},
		});
	}

	/** `next`: the next step for an error that names none. */
	#why(error: unknown, next?: string): string {
		return this.#options
			.diagnosticsOf(error)
			.map(({ message, hint = next }) => (hint === undefined ? message : `${message} (${hint})`))
			.join("; ");
	}

	/** True if every socket of the settings is open. */
	#openSockets(identity: Identity | undefined): boolean {
		let complete = true;
		for (const listen of this.#options.settings.listen) {
			const name = listenText(listen);
			if (this.#sockets.has(name)) continue;
			try {
				this.#sockets.set(name, { listen, socket: open(listen, identity) });
				this.#said.delete(name);
			} catch (error) {
				complete = false;
				this.#say(name, `cannot serve HTTP at ${name}: ${this.#why(error, nextStep(error, listen))}`);
			}
		}
		return complete;
	}

	#again(afterMs: number): void {
		clearTimeout(this.#timer);
		if (this.#closed) return;
		this.#timer = setTimeout(() => this.#start(), afterMs).unref();
	}

	/** Reports a repeated problem once. */
	#say(about: string, problem: string): void {
		if (this.#said.get(about) === problem) return;
		this.#said.set(about, problem);
		this.#options.onProblem(problem);
	}
}

const NEXT_STEPS: ReadonlyMap<number, string> = new Map([
	[ERRNO.EADDRINUSE, "ss -ltnp, or ss -lxp for a path, shows who listens there"],
	[ERRNO.EADDRNOTAVAIL, "it is served when this host has that address"],
]);

function nextStep(error: unknown, listen: ListenAddress): string | undefined {
	if (!(error instanceof SyscallError)) return undefined;
	if (error.errno !== ERRNO.EACCES) return NEXT_STEPS.get(error.errno);
	return listen.kind === "tcp"
		? "ports below 1024 need CAP_NET_BIND_SERVICE, which the unit leaves out: use another port, or systemctl edit l3dsr-agent"
		: `the agent may not create files in ${dirname(listen.path)}: choose another folder, such as /run/l3dsr`;
}

/** If the user exists only for the HTTP process, its group may connect to the Unix socket. */
function open(listen: ListenAddress, identity: Identity | undefined): ListeningSocket {
	if (listen.kind === "tcp") return ListeningSocket.tcp(Uint8Array.from(listen.address.bytes), listen.port);
	makeFolder(dirname(listen.path));
	return ListeningSocket.unix(listen.path, {
		mode: 0o660,
		...(identity?.own === true ? { group: identity.gid } : {}),
	});
}

/** Everybody may look for a socket in the folder, whatever this process's umask is; the socket has its own permissions. */
function makeFolder(path: string): void {
	const mask = process.umask(0o022);
	try {
		mkdirSync(path, { recursive: true, mode: 0o755 });
	} finally {
		process.umask(mask);
	}
}
