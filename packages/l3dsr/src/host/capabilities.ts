/**
 * What this process may do on this host, checked before anything is changed: from its capabilities and its
 * user namespace, which takes reading one small file. (Before programs are loaded, bpf(2) itself is tried
 * too: rewrite/ebpf/kernel/access.ts.)
 */
import type { BpfRefusal } from "@l3dsr/bpf";
import {
	type CapabilityName,
	effectiveCapabilities,
	inInitialUserNamespace,
	ownsNetworkNamespace,
} from "@l3dsr/linux";
import { L3dsrError } from "../errors.ts";

/** An operation that the kernel restricts. */
export type Privilege =
	/** Rules of nf_tables (even to read them), the ARP guard, addresses on `lo`. */
	| "network"
	/** eBPF programs: loading and attaching them, and finding them again. */
	| "programs"
	/** Packets with any header, sent and received. */
	| "raw-sockets"
	/** Making and entering network namespaces. */
	| "namespaces";

interface Requirement {
	/** What it is for. */
	readonly subject: string;
	readonly capabilities: readonly CapabilityName[];
	/** The kernel requires them in the initial user namespace, not in that of the network namespace. */
	readonly initial: boolean;
}

/**
 * CAP_SYS_ADMIN includes CAP_BPF and CAP_PERFMON, with which a program can be loaded and attached. Only
 * CAP_SYS_ADMIN can open a program by its id (bpf_prog_get_fd_by_id in kernel/bpf/syscall.c), and there is
 * no other way to find ours again: without it, an attached program could be neither read nor removed.
 */
export const REQUIREMENTS: { readonly [P in Privilege]: Requirement } = {
	network: {
		subject: "nf_tables, the ARP guard and the addresses of lo",
		capabilities: ["CAP_NET_ADMIN"],
		initial: false,
	},
	programs: {
		subject: "eBPF programs",
		capabilities: ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"],
		initial: true,
	},
	"raw-sockets": { subject: "raw sockets", capabilities: ["CAP_NET_RAW"], initial: false },
	namespaces: { subject: "network namespaces", capabilities: ["CAP_SYS_ADMIN"], initial: false },
};

/** What a process has. */
export interface Authority {
	/** Undefined if /proc does not tell: then only the kernel's own refusal shows it. */
	readonly capabilities: ReadonlySet<CapabilityName> | undefined;
	/** The initial one; another one that owns the network namespace; or another one that does not. */
	readonly userNamespace: "initial" | "owner" | "stranger";
}

/** Why something is not allowed here. */
export type Missing =
	| { readonly kind: "capabilities"; readonly names: readonly CapabilityName[] }
	/** It has them, but in a user namespace where they do not apply. */
	| { readonly kind: "user-namespace" }
	/** It has them, but in a user namespace that does not own the network namespace. */
	| { readonly kind: "network-owner" }
	/** It has the capabilities; something else is missing. */
	| ({ readonly kind: "bpf" } & BpfRefusal);

/** For this thread, in its current namespaces. */
export function readAuthority(): Authority {
	const capabilities = effectiveCapabilities();
	if (inInitialUserNamespace()) return { capabilities, userNamespace: "initial" };
	return { capabilities, userNamespace: ownsNetworkNamespace() ? "owner" : "stranger" };
}

/** Why a process cannot use a privilege; undefined if nothing is known to prevent it. Pure. */
export function missingFor(
	privilege: Privilege,
	{ capabilities, userNamespace }: Authority,
): Missing | undefined {
	const { capabilities: needed, initial } = REQUIREMENTS[privilege];
	const names = capabilities === undefined ? [] : needed.filter((name) => !capabilities.has(name));
	if (names.length > 0) return { kind: "capabilities", names };
	if (userNamespace === "initial") return undefined;
	if (initial) return { kind: "user-namespace" };
	return userNamespace === "stranger" && privilege !== "namespaces" ? { kind: "network-owner" } : undefined;
}

/** `this process lacks CAP_NET_ADMIN`: a whole sentence, without its full stop. */
export function describeMissing(missing: Missing): string {
	switch (missing.kind) {
		case "capabilities":
			return `this process lacks ${missing.names.join(" and ")}`;
		case "user-namespace":
			return "this process is in a user namespace, and the kernel accepts eBPF programs only from the initial one";
		case "network-owner":
			return "this process is in a user namespace that does not own the network namespace, so its capabilities do not apply there";
		case "bpf":
			return `the kernel does not let this process ${missing.doing}: ${missing.reason}`;
	}
}

/** Throws KERNEL_PERMISSION, which names what `command` lacks, for the first of these privileges that is missing. */
export function requirePrivileges(command: string, privileges: readonly Privilege[]): void {
	const authority = readAuthority();
	for (const privilege of privileges) {
		const missing = missingFor(privilege, authority);
		if (missing !== undefined) throw privilegeMissing(command, privilege, missing);
	}
}

/** `l3dsr up: this process lacks CAP_NET_ADMIN, which it needs for nf_tables, the ARP guard …`. */
export function privilegeMissing(command: string, privilege: Privilege, missing: Missing): L3dsrError {
	const { subject } = REQUIREMENTS[privilege];
	const needing = missing.kind === "capabilities" ? `, which it needs for ${subject}` : "";
	return new L3dsrError({
		code: "KERNEL_PERMISSION",
		message: `${command}: ${describeMissing(missing)}${needing}`,
		hint: remedyFor(missing),
	});
}

function remedyFor(missing: Missing): string {
	switch (missing.kind) {
		case "capabilities":
			return `run it as root, or give it ${missing.names.join(" and ")} (docs/reference/capabilities.md)`;
		case "user-namespace":
			return "run it outside, or set datapath: auto or nft";
		case "network-owner":
			return "run it outside, or create a network namespace together with the user namespace: unshare -Urn";
		case "bpf":
			return "find out what blocks bpf(2) here (seccomp, a security module, a container), or set datapath: auto or nft";
	}
}
