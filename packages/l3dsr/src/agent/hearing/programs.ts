/**
 * Programs at tcx that are not as they were. Of tcx the kernel tells nobody (of clsact and of XDP by netlink it does), so
 * interfaces on which programs of ours run there are asked again and again: 13 µs each time.
 */
import { BpfError, tcxIngress } from "@l3dsr/bpf";
import { ERRNO, type NetInterface, SyscallError } from "@l3dsr/linux";
import type { Hear } from "./heard.ts";

/** Half of the time within which a host is to be repaired. */
const INTERVAL_MS = 100;

export class ProgramEars implements Disposable {
	readonly #hear: Hear;
	#interfaces: readonly NetInterface[] = [];
	#known: readonly string[] = [];
	#timer: NodeJS.Timeout | undefined;

	constructor(hear: Hear) {
		this.#hear = hear;
	}

	/** A run begins: what is there from now on is known, and whatever the run changes is looked at once more after it. */
	mark(): void {
		this.#known = this.#interfaces.map(programsOf);
	}

	/** Interfaces on which rules run on eBPF; none: nobody is asked. */
	watch(interfaces: readonly NetInterface[]): void {
		const known = new Map(this.#interfaces.map(({ index }, at) => [index, this.#known[at]]));
		this.#interfaces = interfaces;
		this.#known = interfaces.map((one) => known.get(one.index) ?? programsOf(one));
		if (interfaces.length === 0) this[Symbol.dispose]();
		else this.#timer ??= setInterval(() => this.read(), INTERVAL_MS);
	}

	/** What has happened until now. */
	read(): void {
		const now = this.#interfaces.map(programsOf);
		if (now.every((one, at) => one === this.#known[at])) return;
		this.#known = now;
		this.#hear({ trigger: "program", programs: true });
	}

	[Symbol.dispose](): void {
		clearInterval(this.#timer);
		this.#timer = undefined;
	}
}

/** Ids in their order, and the revision, which tells of a program that went and came back. */
function programsOf(on: NetInterface): string {
	try {
		const attached = tcxIngress.query(on);
		return `${attached[0]?.revision}: ${attached.map(({ programId }) => programId).join(" ")}`;
	} catch (error) {
		// The interface is gone, of which links tell; or the kernel has no tcx, and then programs are at clsact.
		if (error instanceof SyscallError && error.errno === ERRNO.ENODEV) return "gone";
		if (error instanceof BpfError && error.code === "FEATURE") return "no tcx";
		throw error;
	}
}
