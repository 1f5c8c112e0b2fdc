/**
 * Files that change in whatever way: written in place, renamed over, reached by a symbolic link that is set anew (itself or
 * one of the folders on the way), deleted and made again. The folders on the way are watched, for the names that are passed.
 */
import { lstatSync, readlinkSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { FolderWatcher, SyscallError, watchReadable } from "@l3dsr/linux";
import type { Trigger } from "../record.ts";
import type { Hear } from "./heard.ts";

/** The kernel follows no more links on one path (path_resolution(7)). */
const MOST_LINKS = 40;
/** A folder of which every entry counts. */
const EVERY_NAME = "*";

export interface WatchedPath {
	readonly path: string;
	readonly trigger: Trigger;
	/** It may be a folder, whose entries count too. */
	readonly entries?: boolean;
}

export class FileEars implements Disposable {
	readonly #hear: Hear;
	readonly #watcher = new FolderWatcher();
	readonly #reading: Disposable;
	#paths: readonly WatchedPath[] = [];
	/** Folder → name of an entry → what a change of it is. */
	#names = new Map<string, Map<string, Set<Trigger>>>();

	/** Watches nothing at first. Throws SyscallError. */
	constructor(hear: Hear) {
		this.#hear = hear;
		this.#reading = watchReadable(this.#watcher.fd, () => this.read());
	}

	/**
	 * These from now on, and no others. They need not be there. Gives a sentence for each folder that the kernel does not
	 * let us watch (ENOSPC beyond sysctl fs.inotify.max_user_watches).
	 */
	watch(paths: readonly WatchedPath[]): string[] {
		this.#paths = paths;
		const wanted = new Map<string, Map<string, Set<Trigger>>>();
		for (const { path, trigger, entries } of paths) {
			for (const { folder, name } of stepsTo(path)) note(wanted, folder, name, trigger);
			if (entries === true) note(wanted, path, EVERY_NAME, trigger);
		}
		for (const folder of this.#names.keys()) if (!wanted.has(folder)) this.#watcher.unwatch(folder);
		// Each again: what stands at the path may be another folder than before. What is watched already stays so.
		const problems: string[] = [];
		for (const folder of wanted.keys()) {
			try {
				this.#watcher.watch(folder);
			} catch (error) {
				if (!(error instanceof SyscallError)) throw error;
				problems.push(error.message);
			}
		}
		this.#names = wanted;
		return problems;
	}

	/** What has happened until now. */
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
		// The way to a file may be another one now.
		this.watch(this.#paths);
		for (const trigger of triggers) this.#hear({ trigger });
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

/** Every entry of every folder that is passed on the way to `path`, links followed; as far as there is a way. */
export function stepsTo(path: string): { readonly folder: string; readonly name: string }[] {
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

/** Where a symbolic link leads; undefined for what is none, or is not there. */
function linkAt(path: string): string | undefined {
	try {
		return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined;
	} catch {
		return undefined;
	}
}
