/**
 * Files that a user names, read and written in one way. Only regular files are read, and pipes where they
 * are allowed; never more than a limit, and without waiting for a writer that may never come.
 */
import {
	closeSync,
	constants,
	fstatSync,
	fsyncSync,
	mkdirSync,
	openSync,
	readSync,
	renameSync,
	rmSync,
	writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { errnoOfFileError, fileErrorText } from "@l3dsr/linux";
import { type ErrorCode, L3dsrError } from "../errors.ts";

const MIB = 1 << 20;
/** For configurations, dsr.conf, saved rules, lists of targets: a hundred thousand services take a tenth of it. */
const TEXT_LIMIT_BYTES = 64 * MIB;
export const CAPTURE_LIMIT_BYTES = 1024 * MIB;

const CHUNK_BYTES = 64 * 1024;

/** Paths of descriptors that this process inherited: a pipe from the shell, `<(…)`. */
const GIVEN_DESCRIPTOR = /^\/(dev\/stdin|(dev|proc\/self)\/fd\/\d+)$/;

/** /dev/null, the empty file. */
const DEV_NULL = 0x103;

/** A file that this module refuses to read, although the kernel would allow it. The message is the reason. */
class FileRefusal extends Error {
	override readonly name = "FileRefusal";
}

/**
 * The whole content of a file; `-` is standard input. Throws the file system's errors (ENOENT, EACCES …),
 * and {@link FileRefusal} if it is not a regular file or is longer than `limitBytes`.
 */
export function readBytes(path: string, limitBytes: number = TEXT_LIMIT_BYTES): Buffer {
	if (path === "-") return readToEnd(0, limitBytes);
	// Opening a FIFO does not block either; it is then refused.
	const given = GIVEN_DESCRIPTOR.test(path);
	const fd = openSync(path, constants.O_RDONLY | (given ? 0 : constants.O_NONBLOCK));
	try {
		const stat = fstatSync(fd);
		if (stat.isDirectory()) throw new FileRefusal("EISDIR (is a directory)");
		if (!stat.isFile() && stat.rdev !== DEV_NULL && !given)
			throw new FileRefusal(`it is ${kindOf(stat)}, not a regular file`);
		if (stat.size > limitBytes) throw tooLong(limitBytes);
		return readToEnd(fd, limitBytes);
	} finally {
		closeSync(fd);
	}
}

/** The same as text; undecodable bytes become U+FFFD. */
export function readText(path: string): string {
	return readBytes(path).toString("utf8");
}

/** Why a file could not be read: `ENOENT (no such file or directory)`, `it is a FIFO, not a regular file`. */
export function fileReason(error: unknown): string {
	return error instanceof FileRefusal ? error.message : fileErrorText(error);
}

/** The single error for a file that could not be read; `what` is its purpose: `configuration`. */
export function readFailure(code: ErrorCode, what: string, path: string, cause: unknown): L3dsrError {
	const name = path === "-" ? "standard input" : path;
	const subject = what === "" ? name : `${what} ${name}`;
	const hint =
		cause instanceof FileRefusal && cause.message.includes("regular file")
			? { hint: "use a regular file, or pipe it in with - if the command reads standard input" }
			: {};
	return new L3dsrError({ code, message: `read ${subject}: ${fileReason(cause)}`, ...hint }, { cause });
}

/** Tests in advance that a file can be written, and throws the reason if not; a new file stays, empty. */
export function requireWritableFile(path: string): void {
	closeSync(openToWrite(path, 0));
}

/** Overwrites a file. Throws the file system's errors, and {@link FileRefusal} for a FIFO without a reader. */
export function writeBytes(path: string, bytes: Uint8Array): void {
	const fd = openToWrite(path, constants.O_TRUNC);
	try {
		for (let at = 0; at < bytes.length; ) at += patiently(() => writeSync(fd, bytes, at));
	} finally {
		closeSync(fd);
	}
}

/**
 * Replaces the file at `path` atomically, and creates its folder if there is none: after a crash it is the
 * old file or the new one. Throws the file system's errors.
 */
export function replaceFile(path: string, bytes: Uint8Array): void {
	const folder = dirname(path);
	mkdirSync(folder, { recursive: true });
	const draft = `${path}.${process.pid}.new`;
	try {
		const fd = openSync(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o644);
		try {
			for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
			fsyncSync(fd);
		} finally {
			closeSync(fd);
		}
		renameSync(draft, path);
	} catch (error) {
		rmSync(draft, { force: true });
		throw error;
	}
	const fd = openSync(folder, constants.O_RDONLY);
	try {
		fsyncSync(fd);
	} finally {
		closeSync(fd);
	}
}

/** The single error for a file that could not be written. */
export function writeFailure(what: string, path: string, cause: unknown, hint?: string): L3dsrError {
	const message = `write ${what === "" ? path : `${what} ${path}`}: ${fileReason(cause)}`;
	return new L3dsrError({ code: "FILE_WRITE", message, ...(hint === undefined ? {} : { hint }) }, { cause });
}

function openToWrite(path: string, more: number): number {
	const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_NONBLOCK | more;
	try {
		return openSync(path, flags, 0o666);
	} catch (error) {
		if (errnoOfFileError(error) === "ENXIO") throw new FileRefusal("it is a FIFO without a reader");
		throw error;
	}
}

function readToEnd(fd: number, limitBytes: number): Buffer {
	const chunks: Buffer[] = [];
	let length = 0;
	for (;;) {
		const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
		const count = patiently(() => readSync(fd, chunk, 0, chunk.length, null));
		if (count === 0) return Buffer.concat(chunks, length);
		length += count;
		if (length > limitBytes) throw tooLong(limitBytes);
		chunks.push(chunk.subarray(0, count));
	}
}

/** A descriptor may be non-blocking, set by us or by a process that shares it. */
function patiently(work: () => number): number {
	for (;;) {
		try {
			return work();
		} catch (error) {
			if (errnoOfFileError(error) !== "EAGAIN") throw error;
			Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
		}
	}
}

function tooLong(limitBytes: number): FileRefusal {
	return new FileRefusal(`it is longer than ${limitBytes / MIB} MiB, the limit`);
}

function kindOf(stat: ReturnType<typeof fstatSync>): string {
	if (stat.isFIFO()) return "a FIFO";
	if (stat.isSocket()) return "a socket";
	return stat.isCharacterDevice() || stat.isBlockDevice() ? "a device" : "something else";
}
