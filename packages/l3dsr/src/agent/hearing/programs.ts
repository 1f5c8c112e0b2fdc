/**
 * Programs at tcx that are not as they were. Of tcx the kernel tells nobody (of clsact and of XDP by netlink it does), so
 * interfaces on which programs of ours run there are asked again and again.
 */
import { BpfError, TcxList } from "@l3dsr/bpf";
import { ERRNO, type NetInterface, SyscallError } from "@l3dsr/linux";
import type { Ear, Hear } from "./heard.ts";

/** A host is to be repaired within 200 ms, and attaching a program again takes some 30 of them. Waking up is what costs. */
const INTERVAL_MS = 150;

export class ProgramEars implements Ear {
	readonly #hear: Hear;
	#lists: ReadonlyMap<string, TcxList | undefined> = new Map();
	#timer: NodeJS.Timeout | undefined;

	constructor(hear: Hear) {
		this.#hear = hear;
	}

	/** Interfaces on which rules run on eBPF; none: nobody is asked. */
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

	/** What has happened until now. */
	read(): void {
		let isOther = false;
		// Each is asked: what has changed of the others is known then, too.
		for (const list of this.#lists.values()) if (hasChanged(list)) isOther = true;
		if (isOther) this.#hear({ trigger: "program", programs: true });
	}

	[Symbol.dispose](): void {
		clearInterval(this.#timer);
		this.#timer = undefined;
	}
}

/** Undefined where there is nothing to ask: the interface is gone, or the kernel has no tcx, and programs are at clsact. */
function listOf(on: NetInterface): TcxList | undefined {
	return unlessGone(() => new TcxList("ingress", on));
}

/** Of an interface that goes, links tell. */
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
