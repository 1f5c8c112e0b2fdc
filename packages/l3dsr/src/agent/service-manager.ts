/** What is told to whoever started this process: sd_notify(3) and its watchdog. Without systemd, nothing. */
import { LinuxError, UnixDatagramSender } from "@l3dsr/linux";

export interface ServiceManagerOptions {
	/** $NOTIFY_SOCKET. */
	readonly socket: string | undefined;
	/** $WATCHDOG_USEC, and $WATCHDOG_PID where it is said for whom that is. */
	readonly watchdogUs?: string | undefined;
	readonly watchdogProcess?: string | undefined;
}

export class ServiceManager implements Disposable {
	readonly #sender: UnixDatagramSender | undefined;
	readonly #watchdog: NodeJS.Timeout | undefined;

	/** Throws LinuxError for a name of a socket that cannot be one. */
	constructor({ socket, watchdogUs, watchdogProcess }: ServiceManagerOptions) {
		if (socket === undefined || socket === "") return;
		this.#sender = new UnixDatagramSender(socket);
		const forUs = watchdogProcess === undefined || watchdogProcess === String(process.pid);
		const limitMs = Number(watchdogUs) / 1000;
		if (!forUs || !(limitMs > 0)) return;
		// It comes from the event loop: a loop that hangs says nothing.
		this.#watchdog = setInterval(() => this.#tell("WATCHDOG=1"), limitMs / 3);
		this.#watchdog.unref();
	}

	ready(status: string): void {
		this.#tell("READY=1", `STATUS=${status}`);
	}

	/** One line. */
	status(status: string): void {
		this.#tell(`STATUS=${status}`);
	}

	/** Until it is ready again. */
	reloading(monotonicMs: number): void {
		this.#tell("RELOADING=1", `MONOTONIC_USEC=${Math.round(monotonicMs * 1000)}`);
	}

	stopping(): void {
		this.#tell("STOPPING=1");
	}

	/** The process goes on if the manager does not listen. */
	#tell(...lines: readonly string[]): void {
		try {
			this.#sender?.send(Buffer.from(lines.map((line) => line.replaceAll("\n", " ")).join("\n")));
		} catch (error) {
			if (!(error instanceof LinuxError)) throw error;
		}
	}

	[Symbol.dispose](): void {
		clearInterval(this.#watchdog);
		this.#sender?.[Symbol.dispose]();
	}
}
