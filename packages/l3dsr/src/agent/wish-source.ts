/**
 * What the agent keeps a host to: the configuration as it was read last without an error. Files are compared with what was
 * read before, so that a look at files that nobody has changed costs no parsing.
 */
import type { Address } from "@l3dsr/packet";
import type { Environment } from "../sources/dsr-conf.ts";
import type { SourceFiles } from "../sources/source-files.ts";
import { loadWish, type Wish } from "../sources/wish.ts";

export type Reading =
	/** Every file says what it said when it was read last. */
	| { readonly kind: "same" }
	| { readonly kind: "read"; readonly wish: Wish }
	| { readonly kind: "refused"; readonly error: unknown };

export class WishSource {
	readonly #files: SourceFiles;
	readonly #path: string;
	readonly #env: Environment;
	#recorded: RecordedFiles;

	constructor(files: SourceFiles, path: string, env: Environment) {
		this.#files = files;
		this.#path = path;
		this.#env = env;
		this.#recorded = new RecordedFiles(files);
	}

	/** `anew`: reads and resolves everything again, the addresses of host names among it. */
	async read({ anew = false }: { readonly anew?: boolean } = {}): Promise<Reading> {
		if (!anew && this.#recorded.isSame()) return { kind: "same" };
		const files = new RecordedFiles(this.#files);
		try {
			return { kind: "read", wish: await loadWish(files, this.#path, this.#env) };
		} catch (error) {
			return { kind: "refused", error };
		} finally {
			this.#recorded = files;
		}
	}

	/** What was asked for at the last reading, there or not: the configuration, and what it includes. */
	get paths(): readonly { readonly path: string; readonly isFolder: boolean }[] {
		return this.#recorded.paths;
	}
}

/** Remembers what it was asked, and what the answer was. */
class RecordedFiles implements SourceFiles {
	readonly dsrConfFolder: string;
	readonly #files: SourceFiles;
	readonly #texts = new Map<string, string | undefined>();
	readonly #folders = new Map<string, string | undefined>();
	#own: string | undefined;

	constructor(files: SourceFiles) {
		this.#files = files;
		this.dsrConfFolder = files.dsrConfFolder;
	}

	readFile(path: string): string {
		this.#texts.set(path, undefined);
		const text = this.#files.readFile(path);
		this.#texts.set(path, text);
		return text;
	}

	listFolder(path: string): string[] | undefined {
		const names = this.#files.listFolder(path);
		this.#folders.set(path, names?.join("\0"));
		return names;
	}

	async addressOf(name: string): Promise<Address | undefined> {
		return await this.#files.addressOf(name);
	}

	ownAddresses(): readonly Address[] {
		const own = this.#files.ownAddresses();
		this.#own = textOf(own);
		return own;
	}

	/** False when nothing was asked yet. Of host names it is not known. */
	isSame(): boolean {
		return (
			this.#texts.size > 0 &&
			[...this.#texts].every(([path, text]) => this.#textOf(path) === text) &&
			[...this.#folders].every(([path, names]) => this.#files.listFolder(path)?.join("\0") === names) &&
			(this.#own === undefined || this.#own === textOf(this.#files.ownAddresses()))
		);
	}

	get paths(): { readonly path: string; readonly isFolder: boolean }[] {
		const paths = new Set([...this.#texts.keys(), ...this.#folders.keys()]);
		return [...paths].map((path) => ({ path, isFolder: this.#folders.get(path) !== undefined }));
	}

	#textOf(path: string): string | undefined {
		try {
			return this.#files.readFile(path);
		} catch {
			return undefined;
		}
	}
}

function textOf(addresses: readonly Address[]): string {
	return addresses.map(({ text }) => text).join(" ");
}
