/**
 * Watches files for any kind of change: written in place, replaced by a rename, deleted and created again, or reached
 * through a symbolic link that was changed, at the file or in a folder of its path. It watches each folder along the
 * path for the names that the path uses, and only the last one for what is written into files: a folder above it, such
 * as /tmp, may have files that are written all the time.
 */
import { lstatSync, readlinkSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { FolderWatcher, SyscallError, watchReadable } from "@l3dsr/linux";
import type { Trigger } from "../record.ts";
import type { EventHandler } from "./event.ts";

/** The kernel follows at most this many symbolic links in one path (path_resolution(7)). */
const MOST_LINKS = 40;
/** Stands for every entry of a folder. */
const EVERY_NAME = "*";

export interface WatchedPath {
	readonly path: string;
	readonly trigger: Trigger;
	/** The path may be a folder; then a change of any entry counts. */
	readonly entries?: boolean;
}

export class FileMonitor implements Disposable {
	readonly #report: EventHandler;
	readonly #watcher = new FolderWatcher();
	readonly #reading: Disposable;
	#paths: readonly WatchedPath[] = [];
	/** Folder → name of an entry → triggers of a change to it. */
	#names = new Map<string, Map<string, Set<Trigger>>>();

	/** Watches no path yet. Throws SyscallError. */
	constructor(report: EventHandler) {
		this.#report = report;
		this.#reading = watchReadable(this.#watcher.fd, () => this.read());
	}

	/**
	 * Replaces the watched paths; they need not exist. Returns one sentence for each folder that the kernel refuses to
	 * watch (ENOSPC beyond sysctl fs.inotify.max_user_watches).
	 */
	watch(paths: readonly WatchedPath[]): string[] {
		this.#paths = paths;
		const wanted = new Map<string, Map<string, Set<Trigger>>>();
		const written = new Set<string>();
		for (const { path, trigger, entries } of paths) {
			const steps = stepsTo(path);
			for (const { folder, name } of steps) note(wanted, folder, name, trigger);
			written.add(entries === true ? path : (steps.at(-1)?.folder ?? path));
			if (entries === true) note(wanted, path, EVERY_NAME, trigger);
		}
		for (const folder of this.#names.keys()) if (!wanted.has(folder)) this.#watcher.unwatch(folder);
		// Watch every folder again: the path may now lead to another one. Watching a folder twice changes nothing.
		const problems: string[] = [];
		for (const folder of wanted.keys()) {
			try {
				this.#watcher.watch(folder, { contents: written.has(folder) });
			} catch (error) {
				if (!(error instanceof SyscallError)) throw error;
				problems.push(error.message);
			}
		}
		this.#names = wanted;
		return problems;
	}

	/** Handles the events so far. */
	read(): void {
		const triggers = new Set<Trigger>();
		for (const event of this.#watcher.read()) {
			if (event.kind === "lost") for (const { trigger } of this.#paths) triggers.add(trigger);
			else {
				const names = this.#names.get(event.folder);
				const found =
					event.kind === "gone"
						? [...(names?.values() ?? [])]
						: [names?.get(event.name), names?.get(EVERY_NAME)];
				for (const trigger of found.flatMap((one) => [...(one ?? [])])) triggers.add(trigger);
			}
		}
		if (triggers.size === 0) return;
		// The path to a file may have changed.
		this.watch(this.#paths);
		for (const trigger of triggers) this.#report({ trigger });
	}

	[Symbol.dispose](): void {
		this.#reading[Symbol.dispose]();
		this.#watcher[Symbol.dispose]();
	}
}

function note(
	names: Map<string, Map<string, Set<Trigger>>>,
	folder: string,
	name: string,
	trigger: Trigger,
): void {
	const ofFolder = names.get(folder) ?? new Map<string, Set<Trigger>>();
	names.set(folder, ofFolder.set(name, (ofFolder.get(name) ?? new Set()).add(trigger)));
}

/** Every directory entry that the lookup of `path` uses, symbolic links followed, as far as the path exists. */
function stepsTo(path: string): { readonly folder: string; readonly name: string }[] {
	const steps: { readonly folder: string; readonly name: string }[] = [];
	let left = resolve(path).split("/").filter(Boolean);
	let folder = "/";
	let links = 0;
	for (;;) {
		const [name, ...rest] = left;
		if (name === undefined) return steps;
		if (name === "..") {
			folder = dirname(folder);
			left = rest;
			continue;
		}
		steps.push({ folder, name });
		const target = linkAt(join(folder, name));
		if (target === undefined) {
			folder = join(folder, name);
			left = rest;
			continue;
		}
		if (++links > MOST_LINKS) return steps;
		left = [...target.split("/").filter((part) => part !== "" && part !== "."), ...rest];
		if (target.startsWith("/")) folder = "/";
	}
}

/** The target of a symbolic link; undefined if the path is not one or does not exist. */
function linkAt(path: string): string | undefined {
	try {
		return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined;
	} catch {
		return undefined;
	}
}
