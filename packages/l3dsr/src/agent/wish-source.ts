/**
 * Reads the configuration that the agent keeps applied to a host. It compares the files with the last reading, so
 * that unchanged files are not parsed again.
 */
import type { Address } from "@l3dsr/packet";
import { fileReason } from "../host/files.ts";
import type { Environment } from "../sources/dsr-conf.ts";
import type { SourceFiles } from "../sources/source-files.ts";
import { loadWish, type Wish } from "../sources/wish.ts";

export type Reading =
	/** No file has changed since the last reading. */
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

	/** `anew`: reads and resolves everything again, including the addresses of host names. */
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

	/** Paths requested at the last reading, whether they exist or not: the configuration and what it includes. */
	get paths(): readonly { readonly path: string; readonly isFolder: boolean }[] {
		return this.#recorded.paths;
	}
}

/** What is in a file, or why it cannot be read: that is reported anew when the reason changes. */
type Content =
	| { readonly kind: "text"; readonly text: string }
	| { readonly kind: "unreadable"; readonly text: string; readonly error: unknown };

/** Remembers each request and its answer. */
class RecordedFiles implements SourceFiles {
	readonly dsrConfFolder: string;
	readonly #files: SourceFiles;
	readonly #contents = new Map<string, Content>();
	readonly #folders = new Map<string, string | undefined>();
	#own: string | undefined;

	constructor(files: SourceFiles) {
		this.#files = files;
		this.dsrConfFolder = files.dsrConfFolder;
	}

	readFile(path: string): string {
		const content = this.#contentOf(path);
		this.#contents.set(path, content);
		if (content.kind === "unreadable") throw content.error;
		return content.text;
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

	/** False before the first request. Does not check whether host names resolve differently. */
	isSame(): boolean {
		return (
			this.#contents.size > 0 &&
			[...this.#contents].every(([path, content]) => sameContent(this.#contentOf(path), content)) &&
			[...this.#folders].every(([path, names]) => this.#files.listFolder(path)?.join("\0") === names) &&
			(this.#own === undefined || this.#own === textOf(this.#files.ownAddresses()))
		);
	}

	get paths(): { readonly path: string; readonly isFolder: boolean }[] {
		const paths = new Set([...this.#contents.keys(), ...this.#folders.keys()]);
		return [...paths].map((path) => ({ path, isFolder: this.#folders.get(path) !== undefined }));
	}

	#contentOf(path: string): Content {
		try {
			return { kind: "text", text: this.#files.readFile(path) };
		} catch (error) {
			return { kind: "unreadable", text: fileReason(error), error };
		}
	}
}

function sameContent(a: Content, b: Content): boolean {
	return a.kind === b.kind && a.text === b.text;
}

function textOf(addresses: readonly Address[]): string {
	return addresses.map(({ text }) => text).join(" ");
}
