/**
 * The agent's side of what is served: it opens the sockets and keeps the process that speaks HTTP running. Whatever that
 * process does, or does not do, the agent goes on.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { forbidNewPrivileges, hostName, ListeningSocket } from "@l3dsr/linux";
import type { DiagnosticsOf } from "../errors.ts";
import { type AgentSettings, type ListenAddress, listenText } from "../model/agent-settings.ts";
import { Child, FIRST_SOCKET_FD } from "./child.ts";
import { type Identity, identityFor, readCredentials } from "./credentials.ts";
import type { Shown } from "./shown.ts";
import type { HttpSettings } from "./wire.ts";

export interface FrontOptions {
	readonly settings: AgentSettings;
	readonly shown: Shown;
	/** Of l3dsr. */
	readonly version: string;
	/** The command line of the process that speaks HTTP. */
	readonly command: readonly [string, ...string[]];
	/** As that of the process that speaks HTTP (child.ts). */
	readonly pingMs?: number;
	/** The folder of the page's files. */
	readonly page: string;
	readonly diagnosticsOf: DiagnosticsOf;
	/** Told what does not work, a sentence each. */
	readonly onProblem: (problem: string) => void;
}

const RESTART_MS = { first: 100, most: 30_000, settled: 10_000 } as const;
/** How often it is tried again what could not be opened or read. */
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
	#timer: NodeJS.Timeout | undefined;
	#restartMs: number = RESTART_MS.first;
	#closed = false;
	/** What was said last, of each thing that can be wrong. */
	readonly #said = new Map<string, string>();

	/** Opens what can be opened at once; nothing is thrown. */
	constructor(options: FrontOptions) {
		this.#options = options;
		this.#subscription = options.shown.subscribe((event) => this.#child?.tell(event));
		if (options.settings.listen.length > 0) this.#start();
	}

	/** Of the process that speaks HTTP now. */
	get pid(): number | undefined {
		return this.#child?.pid;
	}

	/** Where it listens: `127.0.0.1:9470`, `/run/l3dsr/agent.sock`. */
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

	/** Once more what has not worked; a process that runs has to start anew when there is another socket. */
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
		const credentials = readCredentials(settings);
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

	#why(error: unknown): string {
		return this.#options
			.diagnosticsOf(error)
			.map(({ message }) => message)
			.join("; ");
	}

	/** True when all of the settings are open. */
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
				this.#say(name, `cannot serve HTTP at ${name}: ${this.#why(error)}`);
			}
		}
		return complete;
	}

	#again(afterMs: number): void {
		clearTimeout(this.#timer);
		if (this.#closed) return;
		this.#timer = setTimeout(() => this.#start(), afterMs).unref();
	}

	/** What is wrong again and again is said once. */
	#say(about: string, problem: string): void {
		if (this.#said.get(about) === problem) return;
		this.#said.set(about, problem);
		this.#options.onProblem(problem);
	}
}

/** The group of the user that is there for this alone may connect to the Unix socket. */
function open(listen: ListenAddress, identity: Identity | undefined): ListeningSocket {
	if (listen.kind === "tcp") return ListeningSocket.tcp(Uint8Array.from(listen.address.bytes), listen.port);
	mkdirSync(dirname(listen.path), { recursive: true, mode: 0o755 });
	return ListeningSocket.unix(listen.path, {
		mode: 0o660,
		...(identity?.own === true ? { group: identity.gid } : {}),
	});
}
