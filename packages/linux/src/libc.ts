/**
 * Calls of the C library, the only use of FFI.
 *
 * Nothing is loaded until the first call: koffi costs about 10 ms, which a program that only reads text must
 * not pay. Each function, too, is declared at its first call.
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { ERRNO, errnoName, errnoText } from "./errno.ts";
import { LinuxError } from "./error.ts";

/** A C argument: an integer, memory as a view, or an address as bigint. */
export type CArgument = number | bigint | Uint8Array | null;

type Koffi = typeof import("koffi");

interface Loaded {
	readonly koffi: Koffi;
	readonly library: ReturnType<Koffi["load"]>;
}

let loaded: Loaded | undefined;

function load(): Loaded {
	if (loaded === undefined) {
		const koffi = requireKoffi();
		loaded = { koffi, library: koffi.load(null) };
	}
	return loaded;
}

/**
 * koffi's own entry point reads ELF headers and compiles code for other systems to find its binary, which
 * takes 10 of its 12 ms; Node's search for a package takes twice as long as loading the binary. Only the
 * binary is needed. If it is not at its usual place, or is for another C library (musl), the entry point
 * finds the right one.
 */
function requireKoffi(): Koffi {
	const { arch } = process;
	const binary = `node_modules/@koromix/koffi-linux-${arch}/linux_${arch}/koffi.node`;
	for (let at = import.meta.dirname; ; at = dirname(at)) {
		const koffi = loadAddon(join(at, binary));
		if (koffi !== undefined) return koffi as Koffi;
		if (at === dirname(at)) break;
	}
	// require(), because a call in the middle of synchronous code cannot wait for import(). It is untyped.
	return process.getBuiltinModule("node:module").createRequire(import.meta.url)("koffi") as Koffi;
}

/** The exports of the addon at `path`; undefined if there is none, or none for this system. */
function loadAddon(path: string): unknown {
	if (!existsSync(path)) return undefined;
	const addon = { exports: {} };
	try {
		process.dlopen(addon, path);
	} catch {
		return undefined;
	}
	return addon.exports;
}

/** Whether any C function has been called, for tests that a path does without FFI. */
export function isLibcLoaded(): boolean {
	return loaded !== undefined;
}

/**
 * Declares a function of the C library by its prototype, `int flock(int fd, int operation)`.
 *
 * The function must report failure by -1 and errno. The returned value is its result, or `-errno` after a
 * failure, as inside the kernel: no result is negative otherwise. Callers that cannot continue pass it to
 * {@link check}.
 */
export function libcFunction<A extends readonly CArgument[]>(prototype: string): (...args: A) => number {
	let call: ((...args: A) => number | bigint) | undefined;
	return (...args) => {
		const { koffi, library } = load();
		call ??= library.func(prototype);
		const result = call(...args);
		// errno is stale after success: read it only now.
		return Number(result) === -1 ? -koffi.errno() : Number(result);
	};
}

/**
 * The same for a function that may wait: it runs in one of libuv's threads while this one continues. The
 * result is -1 after a failure, whose errno stays in that thread. Memory is passed by address
 * ({@link addressOf}), and the caller must keep it.
 */
export function libcFunctionInThread<A extends readonly (number | bigint)[]>(
	prototype: string,
): (args: A, done: (result: number) => void) => void {
	let call: ((...args: unknown[]) => void) | undefined;
	return (args, done) => {
		call ??= load().library.func(prototype).async;
		call(...args, (error: unknown, result: number | bigint) => {
			if (error !== null && error !== undefined) throw error;
			done(Number(result));
		});
	};
}

const syscall6 = libcFunction<[number, CArgument, CArgument, CArgument, CArgument, CArgument, CArgument]>(
	"long syscall(long number, intptr_t a, intptr_t b, intptr_t c, intptr_t d, intptr_t e, intptr_t f)",
);

/**
 * syscall(2): the result, or `-errno`. Memory arguments stay referenced until the call returns; the caller
 * must keep memory that only another argument points to (see {@link addressOf}).
 */
export function syscall(number: number, ...args: readonly CArgument[]): number {
	const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = args.map((argument) =>
		argument instanceof Uint8Array ? addressOf(argument) : (argument ?? 0),
	);
	return syscall6(number, a, b, c, d, e, f);
}

/**
 * The address of a view's first byte, for a pointer in a structure. The view must stay referenced until the
 * kernel is done with it, and must not be resized or transferred.
 */
export function addressOf(memory: Uint8Array): bigint {
	return memory.byteLength === 0 ? 0n : load().koffi.address(memory);
}

/**
 * The memory at an address, which must be valid for `length` bytes as long as the view is used: for mmap(2).
 */
export function viewOf(address: bigint, length: number): Uint8Array {
	return new Uint8Array(load().koffi.view(address, length));
}

/** A system call failed: `code` is PERMISSION for EPERM, else SYSCALL. */
export class SyscallError extends LinuxError {
	override readonly name = "SyscallError";
	readonly errno: number;
	/** The kernel's own message about the refusal, if it sent one. */
	readonly explanation?: string;
	/** The reason alone: `ENOENT (no such file or directory)`. */
	readonly reason: string;

	/**
	 * `doing` names the action and its object: `attach program l3dsr_tc to eth0`. `explanation` is the
	 * kernel's own message about the refusal, if it sent one.
	 */
	constructor(doing: string, errno: number, explanation?: string) {
		const denied = errno === ERRNO.EPERM;
		const name = errnoName(errno);
		const reason = explanation === undefined ? `${name} (${errnoText(errno)})` : `${name}: ${explanation}`;
		super(denied ? "PERMISSION" : "SYSCALL", `${doing}: ${reason}`, denied ? { hint: "run it as root" } : {});
		this.errno = errno;
		if (explanation !== undefined) this.explanation = explanation;
		this.reason = reason;
	}

	/** `ENOENT`. */
	get errnoName(): string {
		return errnoName(this.errno);
	}
}

/** Returns the result of a call unless it is `-errno`. Otherwise throws {@link SyscallError} with `doing`. */
export function check(result: number, doing: string): number {
	if (result < 0) throw new SyscallError(doing, -result);
	return result;
}
