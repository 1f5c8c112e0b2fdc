/**
 * What this process may do on this host, found out before anything is changed: from its capabilities and its user
 * namespace, which costs one small file. (Where programs are about to be loaded, bpf(2) itself is asked too:
 * rewrite/ebpf/kernel/access.ts.)
 */
import type { BpfRefusal } from "@l3dsr/bpf";
import {
	type CapabilityName,
	effectiveCapabilities,
	inInitialUserNamespace,
	ownsNetworkNamespace,
} from "@l3dsr/linux";
import { L3dsrError } from "../errors.ts";

/** Something that the kernel does not let everybody do. */
export type Privilege =
	/** Rules of nf_tables, to read too, the ARP guard, addresses on `lo`. */
	| "network"
	/** eBPF programs: to load and attach them, and to find them again. */
	| "programs"
	/** Packets with any header, sent and received. */
	| "raw-sockets"
	/** Making and entering network namespaces. */
	| "namespaces";

interface Requirement {
	/** What it is for. */
	readonly subject: string;
	readonly capabilities: readonly CapabilityName[];
	/** The kernel asks for them in the initial user namespace, not in that of the network namespace. */
	readonly initial: boolean;
}

/**
 * CAP_SYS_ADMIN includes CAP_BPF and CAP_PERFMON, with which a program can be loaded and attached. Only CAP_SYS_ADMIN can
 * open a program by its id (bpf_prog_get_fd_by_id in kernel/bpf/syscall.c), and nothing else finds ours again: without it
 * what was attached could be neither read nor taken away.
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
	/** Undefined where /proc does not say: then the kernel's own refusals have to do. */
	readonly capabilities: ReadonlySet<CapabilityName> | undefined;
	/** `initial`; another one, which owns the network namespace; or another one, which does not. */
	readonly userNamespace: "initial" | "owner" | "stranger";
}

/** Why something is not allowed here. */
export type Missing =
	| { readonly kind: "capabilities"; readonly names: readonly CapabilityName[] }
	/** It has them, in a user namespace where they do not count for this. */
	| { readonly kind: "user-namespace" }
	/** It has them, in a user namespace that does not own the network namespace. */
	| { readonly kind: "network-owner" }
	/** Capabilities are not what is missing. */
	| ({ readonly kind: "bpf" } & BpfRefusal);

/** Of this thread, in the namespaces that it is in now. */
export function readAuthority(): Authority {
	const capabilities = effectiveCapabilities();
	if (inInitialUserNamespace()) return { capabilities, userNamespace: "initial" };
	return { capabilities, userNamespace: ownsNetworkNamespace() ? "owner" : "stranger" };
}

/** What keeps a process from using a privilege; undefined where nothing is known to. Pure. */
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
			return "this process is in a user namespace, and the kernel takes eBPF programs from the initial one only";
		case "network-owner":
			return "this process is in a user namespace that does not own the network namespace, so that its capabilities do not count there";
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
			return "run it outside, or set datapath auto or nft";
		case "network-owner":
			return "run it outside, or make a network namespace along with the user namespace: unshare -Urn";
		case "bpf":
			return "see what filters bpf(2) here (seccomp, a security module, a container), or set datapath auto or nft";
	}
}
