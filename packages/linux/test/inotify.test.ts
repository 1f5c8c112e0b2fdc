/** Changes files as editors and configuration management do. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type FolderEvent, FolderWatcher, untilReadable } from "../src/index.ts";

const folder = mkdtempSync(join(tmpdir(), "linux-inotify-"));
after(() => rmSync(folder, { recursive: true }));

function namesIn(events: readonly FolderEvent[]): string[] {
	return [...new Set(events.flatMap((event) => (event.kind === "entry" ? [event.name] : [])))].sort();
}

test("reports which entry was written, replaced by a rename, linked and deleted", async () => {
	using watcher = new FolderWatcher();
	assert.equal(watcher.watch(folder), true);
	assert.deepEqual(watcher.read(), []);
	writeFileSync(join(folder, "plain"), "1");
	assert.equal(await untilReadable([watcher.fd], { timeoutMs: 5000 }), true);
	assert.deepEqual(namesIn(watcher.read()), ["plain"]);
	writeFileSync(join(folder, ".new"), "2");
	renameSync(join(folder, ".new"), join(folder, "plain"));
	assert.deepEqual(namesIn(watcher.read()), [".new", "plain"]);
	symlinkSync("plain", join(folder, "link~"));
	renameSync(join(folder, "link~"), join(folder, "link"));
	assert.deepEqual(namesIn(watcher.read()), ["link", "link~"]);
	rmSync(join(folder, "plain"));
	assert.deepEqual(namesIn(watcher.read()), ["plain"]);
});

test("reports that a watched folder is gone, and watches its replacement", () => {
	using watcher = new FolderWatcher();
	const inner = join(folder, "inner");
	mkdirSync(inner);
	assert.equal(watcher.watch(inner), true);
	rmdirSync(inner);
	assert.deepEqual(watcher.read(), [{ kind: "gone", folder: inner }]);
	assert.equal(watcher.watch(inner), false);
	mkdirSync(inner);
	assert.equal(watcher.watch(inner), true);
	renameSync(inner, `${inner}.old`);
	assert.deepEqual(watcher.read(), [{ kind: "gone", folder: inner }]);
	// The renamed folder is no longer watched.
	writeFileSync(join(`${inner}.old`, "file"), "");
	assert.deepEqual(watcher.read(), []);
	rmSync(`${inner}.old`, { recursive: true });
});

test("a folder that is no longer watched reports nothing", () => {
	using watcher = new FolderWatcher();
	watcher.watch(folder);
	watcher.unwatch(folder);
	writeFileSync(join(folder, "other"), "");
	assert.deepEqual(watcher.read(), []);
});

test("a folder watched without contents reports what becomes of its entries, and not what is written into them", () => {
	using watcher = new FolderWatcher();
	writeFileSync(join(folder, "busy"), "1");
	watcher.watch(folder, { contents: false });
	writeFileSync(join(folder, "busy"), "2");
	assert.deepEqual(watcher.read(), []);
	renameSync(join(folder, "busy"), join(folder, "idle"));
	assert.deepEqual(namesIn(watcher.read()), ["busy", "idle"]);
	watcher.watch(folder);
	writeFileSync(join(folder, "idle"), "3");
	assert.deepEqual(namesIn(watcher.read()), ["idle"]);
	rmSync(join(folder, "idle"));
});

test("does not watch a file", () => {
	using watcher = new FolderWatcher();
	writeFileSync(join(folder, "file"), "");
	assert.equal(watcher.watch(join(folder, "file")), false);
});
