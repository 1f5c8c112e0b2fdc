/**
 * Reports to the service manager that started this process: sd_notify(3) and its watchdog. Does nothing without
 * systemd.
 */
import { LinuxError, UnixDatagramSender } from "@l3dsr/linux";

export interface ServiceManagerOptions {
	/** $NOTIFY_SOCKET. */
	readonly socket: string | undefined;
	/** $WATCHDOG_USEC and $WATCHDOG_PID; the latter names the process that the watchdog is for. */
	readonly watchdogUs?: string | undefined;
	readonly watchdogProcess?: string | undefined;
}

export class ServiceManager implements Disposable {
	readonly #sender: UnixDatagramSender | undefined;
	readonly #watchdog: NodeJS.Timeout | undefined;

	/** Throws LinuxError if the socket's name is not valid. */
	constructor({ socket, watchdogUs, watchdogProcess }: ServiceManagerOptions) {
		if (socket === undefined || socket === "") return;
		this.#sender = new UnixDatagramSender(socket);
		const forUs = watchdogProcess === undefined || watchdogProcess === String(process.pid);
		const limitMs = Number(watchdogUs) / 1000;
		if (!forUs || !(limitMs > 0)) return;
		// Sent from the event loop, so a blocked loop sends nothing and the watchdog expires.
		this.#watchdog = setInterval(() => this.#tell("WATCHDOG=1"), limitMs / 3);
		this.#watchdog.unref();
	}

	ready(status: string): void {
		this.#tell("READY=1", `STATUS=${status}`);
	}

	/** `status`: one line. */
	status(status: string): void {
		this.#tell(`STATUS=${status}`);
	}

	/** Reloading lasts until `ready` is called. */
	reloading(monotonicMs: number): void {
		this.#tell("RELOADING=1", `MONOTONIC_USEC=${Math.round(monotonicMs * 1000)}`);
	}

	stopping(): void {
		this.#tell("STOPPING=1");
	}

	/** Ignores errors: the process works without a service manager that listens. */
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
