/** Restricts the test's own process to some of root's capabilities. */
import { addressOf, CAPABILITIES, type CapabilityName, check, Layout, libcFunction } from "@l3dsr/linux";

/** struct __user_cap_header_struct, and the two halves of struct __user_cap_data_struct (linux/capability.h). */
const HEADER = new Layout({ version: "u32", pid: "s32" });
const _LINUX_CAPABILITY_VERSION_3 = 0x20080522;
const DATA = new Layout({
	effective0: "u32",
	permitted0: "u32",
	inheritable0: "u32",
	effective1: "u32",
	permitted1: "u32",
	inheritable1: "u32",
});

const capget = libcFunction<[header: Uint8Array, data: Uint8Array]>("int capget(void *header, void *data)");
const capset = libcFunction<[header: Uint8Array, data: Uint8Array]>(
	"int capset(void *header, const void *data)",
);

/**
 * Runs `work` while this thread has only these of the named capabilities; it keeps root's other ones (for
 * files and processes). Programs that it starts have all.
 */
export async function withCapabilities<T>(
	names: readonly CapabilityName[],
	work: () => Promise<T>,
): Promise<T> {
	const header = () => HEADER.encode({ version: _LINUX_CAPABILITY_VERSION_3 });
	const before = new Uint8Array(DATA.size);
	check(capget(header(), before), "read the capabilities of this thread");
	const now = DATA.decode(before);
	const taken = Object.entries(CAPABILITIES)
		.filter(([name]) => !names.some((one) => one === name))
		.reduce((bits, [, number]) => bits | (1n << BigInt(number)), 0n);
	const kept = (half: number, effective: number): number =>
		Number(BigInt(effective) & ~(taken >> BigInt(32 * half)) & 0xffffffffn);
	const reduced = DATA.encode({
		...now,
		effective0: kept(0, now.effective0),
		effective1: kept(1, now.effective1),
	});
	check(capset(header(), reduced), "give up capabilities");
	try {
		return await work();
	} finally {
		check(capset(header(), before), "take capabilities back");
	}
}

const prctl = libcFunction<[option: number, a: number, b: bigint]>(
	"int prctl(int option, unsigned long a, unsigned long b)",
);
const PR_SET_SECCOMP = 22;
const SECCOMP_MODE_FILTER = 2;
/** struct sock_fprog, and struct sock_filter (linux/filter.h). */
const FPROG = new Layout({ length: "u16", _pad1: "u16", _pad2: "u32", filter: "pointer" });
const FILTER = new Layout({ code: "u16", whenTrue: "u8", whenFalse: "u8", value: "u32" });

/**
 * From now on, this thread gets EPERM from bpf(2), as under a container's seccomp filter. x86-64 and arm64.
 */
export function forbidBpf(): void {
	const number = process.arch === "arm64" ? 280 : 321;
	const filter = Buffer.concat([
		FILTER.encode({ code: 0x20, value: 0 }), // the number of the call
		FILTER.encode({ code: 0x15, whenFalse: 1, value: number }), // is it bpf's?
		FILTER.encode({ code: 0x06, value: 0x0005_0001 }), // SECCOMP_RET_ERRNO | EPERM
		FILTER.encode({ code: 0x06, value: 0x7fff_0000 }), // SECCOMP_RET_ALLOW
	]);
	const program = FPROG.encode({ length: filter.length / FILTER.size, filter });
	check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, addressOf(program)), "filter system calls");
}
