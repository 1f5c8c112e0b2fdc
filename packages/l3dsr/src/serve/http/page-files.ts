/** The page's files, read once. Only these can be requested, by their exact names. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { errnoOfFileError } from "@l3dsr/linux";

export interface PageFile {
	readonly bytes: Buffer;
	readonly type: string;
	readonly etag: string;
}

const TYPES: Readonly<Record<string, string>> = {
	".html": "text/html; charset=utf-8",
	".js": "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".json": "application/json",
	".svg": "image/svg+xml",
	".png": "image/png",
	".ico": "image/x-icon",
	".woff2": "font/woff2",
	".txt": "text/plain; charset=utf-8",
	".webmanifest": "application/manifest+json",
};

/** The files by path; `/` is index.html. Empty if the folder does not exist. Skips files of unknown types. */
export function readPage(folder: string): ReadonlyMap<string, PageFile> {
	const files = new Map<string, PageFile>();
	for (const name of namesIn(folder)) {
		const type = TYPES[extname(name)];
		if (type === undefined) continue;
		const bytes = readFileSync(join(folder, name));
		const etag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
		const file = { bytes, type, etag };
		files.set(`/${name}`, file);
		if (name === "index.html") files.set("/", file);
	}
	return files;
}

function namesIn(folder: string): string[] {
	try {
		const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
		return entries
			.filter((entry) => entry.isFile())
			.map((entry) => join(entry.parentPath, entry.name).slice(folder.length).replace(/^\/+/, ""));
	} catch (error) {
		if (errnoOfFileError(error) === "ENOENT") return [];
		throw error;
	}
}
