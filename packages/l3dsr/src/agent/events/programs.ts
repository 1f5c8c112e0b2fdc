/**
 * Detects changes of programs at tcx. The kernel reports changes at clsact and XDP by netlink but none at tcx, so we
 * poll the interfaces on which our programs run there.
 */
import { BpfError, TcxList } from "@l3dsr/bpf";
import { ERRNO, type NetInterface, SyscallError } from "@l3dsr/linux";
import type { EventHandler, EventReader } from "./event.ts";

/**
 * A repair should take less than 200 ms in total, and attaching a program again takes about 30. Shorter intervals
 * cost more CPU because of the wake-ups.
 */
const INTERVAL_MS = 150;

export class ProgramMonitor implements EventReader {
	readonly #report: EventHandler;
	#lists: ReadonlyMap<string, TcxList | undefined> = new Map();
	#timer: NodeJS.Timeout | undefined;

	constructor(report: EventHandler) {
		this.#report = report;
	}

	/** Polls these interfaces; with none, it stops polling. */
	watch(interfaces: readonly NetInterface[]): void {
		this.#lists = new Map(
			interfaces.map((on) => {
				const key = `${on.index} ${on.name}`;
				return [key, this.#lists.get(key) ?? listOf(on)];
			}),
		);
		if (interfaces.length === 0) this[Symbol.dispose]();
		else this.#timer ??= setInterval(() => this.read(), INTERVAL_MS);
	}

	/** Reports the changes so far. */
	read(): void {
		let isOther = false;
		// Ask every list, so that one event covers all interfaces.
		for (const list of this.#lists.values()) if (hasChanged(list)) isOther = true;
		if (isOther) this.#report({ trigger: "program", programs: true });
	}

	[Symbol.dispose](): void {
		clearInterval(this.#timer);
		this.#timer = undefined;
	}
}

/** Undefined if the interface is gone, or if the kernel has no tcx (programs are then at clsact). */
function listOf(on: NetInterface): TcxList | undefined {
	return unlessGone(() => new TcxList("ingress", on));
}

/** False for an interface that is gone: the link events report that. */
function hasChanged(list: TcxList | undefined): boolean {
	return unlessGone(() => list?.changed()) ?? false;
}

function unlessGone<T>(ask: () => T): T | undefined {
	try {
		return ask();
	} catch (error) {
		if (error instanceof SyscallError && error.errno === ERRNO.ENODEV) return undefined;
		if (error instanceof BpfError && error.code === "FEATURE") return undefined;
		throw error;
	}
}
