/** Watches both datapaths of this network namespace. Costs nothing before it is opened, nor after. */
import { EbpfWatcher } from "./ebpf-watch.ts";
import { NftWatcher } from "./nft-watch.ts";
import type { Receive, WatchOptions } from "./sighting.ts";

export type { Sighting, WatchFilter, WatchOptions } from "./sighting.ts";

export class Watch implements Disposable {
	readonly #ebpf: EbpfWatcher;
	readonly #nft: NftWatcher;

	private constructor(ebpf: EbpfWatcher, nft: NftWatcher) {
		this.#ebpf = ebpf;
		this.#nft = nft;
	}

	/** Throws L3dsrError (KERNEL_*) and the errors of the libraries, with nothing left behind. */
	static async open(options: WatchOptions): Promise<Watch> {
		const watch = new Watch(new EbpfWatcher(options), new NftWatcher(options));
		try {
			await watch.refresh(() => {});
			return watch;
		} catch (error) {
			watch[Symbol.dispose]();
			throw error;
		}
	}

	/** Tells what was seen since the last time. To be called several times a second. */
	read(receive: Receive): void {
		this.#ebpf.read(receive);
		this.#nft.read(receive);
	}

	/** The rules have changed, as far as was noticed: refresh now. */
	get stale(): boolean {
		return this.#ebpf.stale || this.#nft.stale;
	}

	/** Follows the rules, which may have changed. To be called about every second, and when stale. */
	async refresh(receive: Receive): Promise<void> {
		await this.#ebpf.refresh(receive);
		await this.#nft.refresh(receive);
	}

	/** Packets that were not told, since the beginning, as of the last refresh. */
	get leftOut(): bigint {
		return this.#ebpf.leftOut + this.#nft.leftOut;
	}

	/** What cannot be watched, and why. */
	get notes(): readonly string[] {
		const notes = [...this.#ebpf.notes, ...this.#nft.notes];
		const none = notes.length === 0 && this.#ebpf.places + this.#nft.places === 0;
		return none ? ["no rule is in place yet"] : notes;
	}

	[Symbol.dispose](): void {
		this.#ebpf[Symbol.dispose]();
		this.#nft[Symbol.dispose]();
	}
}
