/** Fails each test that leaves open a descriptor of a BPF object, or a netlink or packet socket. */

import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import { afterEach, beforeEach } from "node:test";
import { libcFunction } from "@l3dsr/linux";

const SOL_SOCKET = 1;
const SO_DOMAIN = 39;
/** Node opens and closes sockets of its own, but never of these kinds. */
const FAMILIES = new Map([
	[16, "AF_NETLINK"],
	[17, "AF_PACKET"],
]);

const getsockopt = libcFunction<
	[fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array]
>("int getsockopt(int fd, int level, int name, void *value, void *length)");

function kindOf(fd: number): string | undefined {
	let target: string;
	try {
		target = readlinkSync(`/proc/self/fd/${fd}`);
	} catch {
		return undefined; // the descriptor of the directory that was just read
	}
	if (target.startsWith("anon_inode:bpf")) return target;
	const family = Buffer.alloc(4);
	const length = Buffer.from(Int32Array.of(family.length).buffer);
	if (!target.startsWith("socket:") || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, family, length) < 0) {
		return undefined;
	}
	return FAMILIES.get(family.readInt32LE());
}

/** Descriptors of this process that our own code must close, as `fd kind`. */
export function ownedDescriptors(): readonly string[] {
	return readdirSync("/proc/self/fd").flatMap((fd) => {
		const kind = kindOf(Number(fd));
		return kind === undefined ? [] : [`${fd} ${kind}`];
	});
}

/** Call it once at the top of a test file. */
export function failOnLeaks(): void {
	let before: readonly string[] = [];
	beforeEach(() => {
		before = ownedDescriptors();
	});
	afterEach(() => {
		assert.deepEqual(ownedDescriptors(), before, "descriptors left open by this test");
	});
}
