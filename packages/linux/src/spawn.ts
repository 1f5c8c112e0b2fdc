/**
 * Other programs, started with posix_spawn(3) and waited for.
 *
 * node:child_process does more than that, at a price that shows in commands that take 50 ms: loading it takes 5,
 * for it brings node:net, and each fork 2, for it copies the page tables of this process.
 */
import { closeSync, fstatSync, read, readSync } from "node:fs";
import { constants } from "node:os";
import { ERRNO } from "./errno.ts";
import { Layout } from "./layout.ts";
import { addressOf, check, libcFunction, SyscallError } from "./libc.ts";

const O_CLOEXEC = 0o2000000;
const MFD_CLOEXEC = 1;
/** spawn.h, glibc and musl alike: handlers are reset, nothing is blocked; a session of its own. */
const POSIX_SPAWN = { SETSIGDEF: 0x04, SETSIGMASK: 0x08, SETSID: 0x80 } as const;
/** Opaque structures of spawn.h and signal.h are smaller than this in every C library. */
const OPAQUE_BYTES = 512;

const memfdCreate = libcFunction<[name: Uint8Array, flags: number]>(
	"int memfd_create(const void *name, unsigned int flags)",
);
const pipe2 = libcFunction<[ends: Uint8Array, flags: number]>("int pipe2(void *ends, int flags)");
const waitpid = libcFunction<[pid: number, status: Uint8Array, options: number]>(
	"int waitpid(int pid, void *status, int options)",
);
const sigfillset = libcFunction<[set: Uint8Array]>("int sigfillset(void *set)");
const initActions = libcFunction<[actions: Uint8Array]>("int posix_spawn_file_actions_init(void *actions)");
const addDup2 = libcFunction<[actions: Uint8Array, from: number, to: number]>(
	"int posix_spawn_file_actions_adddup2(void *actions, int from, int to)",
);
const freeActions = libcFunction<[actions: Uint8Array]>(
	"int posix_spawn_file_actions_destroy(void *actions)",
);
const initAttributes = libcFunction<[attributes: Uint8Array]>("int posix_spawnattr_init(void *attributes)");
const setDefaults = libcFunction<[attributes: Uint8Array, signals: Uint8Array]>(
	"int posix_spawnattr_setsigdefault(void *attributes, const void *signals)",
);
const setMask = libcFunction<[attributes: Uint8Array, signals: Uint8Array]>(
	"int posix_spawnattr_setsigmask(void *attributes, const void *signals)",
);
const setFlags = libcFunction<[attributes: Uint8Array, flags: number]>(
	"int posix_spawnattr_setflags(void *attributes, short flags)",
);
const posixSpawn = libcFunction<
	[
		pid: Uint8Array,
		path: Uint8Array,
		actions: Uint8Array,
		attributes: Uint8Array,
		argv: Uint8Array,
		envp: Uint8Array,
	]
>(
	"int posix_spawn(void *pid, const void *path, const void *actions, const void *attributes, const void *argv, const void *envp)",
);

const INT = new Layout({ value: "s32" });
const ENDS = new Layout({ read: "s32", write: "s32" });

export interface SpawnOptions {
	/** All of its environment, NAME=VALUE. */
	readonly env: readonly string[];
	/** A descriptor to read from; nothing without one. */
	readonly stdin?: number;
	/** In a session, and so a process group, of its own: a Ctrl-C at the terminal does not reach it. */
	readonly ownSession?: boolean;
}

export interface EndedProgram {
	/** Null when a signal ended it. */
	readonly exitCode: number | null;
	/** The signal that ended it: `SIGKILL`. */
	readonly signal?: string;
	readonly stdout: Uint8Array;
	readonly stderr: Uint8Array;
}

/**
 * Runs the program at `path` to its end; `argv` is with its name. Ended it is when it and whatever it has started
 * are gone. Throws SyscallError when it cannot be started.
 */
export async function runProgram(
	path: string,
	argv: readonly string[],
	options: SpawnOptions,
): Promise<EndedProgram> {
	using stdout = memoryFile("stdout");
	using stderr = memoryFile("stderr");
	using life = start(path, argv, options, stdout.fd, stderr.fd);
	await untilEnd(life.end);
	return { ...statusOf(life.pid), stdout: contentOf(stdout.fd), stderr: contentOf(stderr.fd) };
}

interface Descriptor extends Disposable {
	readonly fd: number;
}

/** Takes any amount of output without anyone reading along. */
function memoryFile(name: string): Descriptor {
	return held(check(memfdCreate(cText(name), MFD_CLOEXEC), `make a file in memory for ${name}`));
}

function held(fd: number): Descriptor {
	return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

interface Life extends Disposable {
	readonly pid: number;
	/** The reading end of a pipe whose other end the program holds. */
	readonly end: number;
}

function start(
	path: string,
	argv: readonly string[],
	{ env, stdin, ownSession = false }: SpawnOptions,
	stdout: number,
	stderr: number,
): Life {
	const doing = `start ${path}`;
	const ends = new Uint8Array(ENDS.size);
	check(pipe2(ends, O_CLOEXEC), doing);
	const pipe = ENDS.decode(ends);
	const actions = new Uint8Array(OPAQUE_BYTES);
	initActions(actions);
	let input: number | undefined;
	try {
		input = stdin ?? check(memfdCreate(cText("stdin"), MFD_CLOEXEC), doing);
		// In the program they are 0 to 3; none of these numbers is one of them here, where Node has taken them.
		const descriptors = [input, stdout, stderr, pipe.write];
		descriptors.forEach((from, to) => void succeeded(addDup2(actions, from, to), doing));
		const pid = new Uint8Array(INT.size);
		const [name, attributes] = [cText(path), attributesFor(ownSession, doing)];
		const [args, variables] = [cTexts(argv), cTexts(env)];
		succeeded(posixSpawn(pid, name, actions, attributes, args.pointers, variables.pointers), doing);
		return {
			pid: INT.decode(pid).value,
			end: pipe.read,
			[Symbol.dispose]: () => closeSync(pipe.read),
		};
	} catch (error) {
		closeSync(pipe.read);
		throw error;
	} finally {
		freeActions(actions);
		closeSync(pipe.write);
		if (stdin === undefined && input !== undefined) closeSync(input);
	}
}

/** Node ignores SIGPIPE, which the program shall not, and a signal may be blocked just now. */
function attributesFor(ownSession: boolean, doing: string): Uint8Array {
	const attributes = new Uint8Array(OPAQUE_BYTES);
	const every = new Uint8Array(OPAQUE_BYTES);
	sigfillset(every);
	const flags = POSIX_SPAWN.SETSIGDEF | POSIX_SPAWN.SETSIGMASK | (ownSession ? POSIX_SPAWN.SETSID : 0);
	succeeded(initAttributes(attributes), doing);
	succeeded(setDefaults(attributes, every), doing);
	succeeded(setMask(attributes, new Uint8Array(OPAQUE_BYTES)), doing);
	succeeded(setFlags(attributes, flags), doing);
	return attributes;
}

/** These functions return the error's number itself. */
function succeeded(result: number, doing: string): void {
	if (result !== 0) throw new SyscallError(doing, Math.abs(result));
}

/** A read that ends when nobody holds the other end any more. It waits in a thread of Node's, not in this one. */
async function untilEnd(fd: number): Promise<void> {
	await new Promise<void>((resolve, reject) => {
		read(fd, Buffer.alloc(1), 0, 1, null, (error) => (error === null ? resolve() : reject(error)));
	});
}

function statusOf(pid: number): Pick<EndedProgram, "exitCode" | "signal"> {
	const bytes = new Uint8Array(INT.size);
	let result = waitpid(pid, bytes, 0);
	while (result === -ERRNO.EINTR) result = waitpid(pid, bytes, 0);
	check(result, `wait for process ${pid}`);
	const { value } = INT.decode(bytes);
	const number = value & 0x7f;
	if (number === 0) return { exitCode: (value >> 8) & 0xff };
	const [signal = `signal ${number}`] =
		Object.entries(constants.signals).find(([, one]) => one === number) ?? [];
	return { exitCode: null, signal };
}

function contentOf(fd: number): Buffer {
	const content = Buffer.alloc(fstatSync(fd).size);
	for (let at = 0; at < content.length; ) {
		const count = readSync(fd, content, at, content.length - at, at);
		if (count === 0) break;
		at += count;
	}
	return content;
}

function cText(text: string): Uint8Array {
	return Buffer.from(`${text}\0`);
}

/** char *[], ended by a null pointer. Both stay referenced until the call returns. */
function cTexts(texts: readonly string[]): { readonly pointers: Uint8Array; readonly memory: Uint8Array } {
	const parts = texts.map(cText);
	const memory = Buffer.concat(parts);
	const base = addressOf(memory);
	const pointers = new BigUint64Array(texts.length + 1);
	let offset = 0;
	for (const [index, part] of parts.entries()) {
		pointers[index] = base + BigInt(offset);
		offset += part.length;
	}
	return { pointers: new Uint8Array(pointers.buffer), memory };
}
