/**
 * Watches both datapaths of this network namespace, and its director. Costs nothing before it is opened, nor after.
 */
import { DirectorWatcher } from "./director-watch.ts";
import { EbpfWatcher } from "./ebpf-watch.ts";
import { NftWatcher } from "./nft-watch.ts";
import type { Receive, Watcher, WatchOptions } from "./sighting.ts";

export type { Sighting, WatchFilter, WatchOptions } from "./sighting.ts";

export class Watch implements Disposable {
	readonly #watchers: readonly Watcher[];

	private constructor(watchers: readonly Watcher[]) {
		this.#watchers = watchers;
	}

	/** Throws L3dsrError (KERNEL_*) and the errors of the libraries, and leaves nothing behind. */
	static async open(options: WatchOptions): Promise<Watch> {
		const watch = new Watch([
			new EbpfWatcher(options),
			new NftWatcher(options),
			new DirectorWatcher(options),
		]);
		try {
			await watch.refresh(() => {});
			return watch;
		} catch (error) {
			watch[Symbol.dispose]();
			throw error;
		}
	}

	/** Returns the packets since the last call. Call it several times a second. */
	read(receive: Receive): void {
		for (const one of this.#watchers) one.read(receive);
	}

	/** The rules are known to have changed: call refresh now. */
	get stale(): boolean {
		return this.#watchers.some(({ stale }) => stale);
	}

	/** Follows the rules, which may have changed. Call it about every second, and when stale. */
	async refresh(receive: Receive): Promise<void> {
		for (const one of this.#watchers) await one.refresh(receive);
	}

	/** Packets that were not reported, since the beginning, as of the last refresh. */
	get leftOut(): bigint {
		return this.#watchers.reduce((sum, { leftOut }) => sum + leftOut, 0n);
	}

	/** What cannot be watched, and why. */
	get notes(): readonly string[] {
		const notes = this.#watchers.flatMap((one) => one.notes);
		const none = notes.length === 0 && this.#watchers.every(({ places }) => places === 0);
		return none ? ["no rule and no director is in place yet"] : notes;
	}

	[Symbol.dispose](): void {
		for (const one of this.#watchers) one[Symbol.dispose]();
	}
}
