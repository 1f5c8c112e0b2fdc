/** Whether this network namespace has IPv6. */
import { readFileSync } from "node:fs";
import { L3dsrError } from "../errors.ts";

/** False if `lo` cannot have IPv6 addresses: disabled by sysctl, or the kernel has no IPv6. */
export function loopbackTakesIpv6(): boolean {
	try {
		return readFileSync("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "utf8").trim() === "0";
	} catch {
		return false; // booted with ipv6.disable=1, or built without
	}
}

/** Whether the kernel has IPv6, and whether it is disabled for all interfaces of this namespace. */
export function ipv6State(): "on" | "off" | "absent" {
	try {
		const text = readFileSync("/proc/sys/net/ipv6/conf/all/disable_ipv6", "utf8");
		return text.trim() === "1" ? "off" : "on";
	} catch {
		return "absent";
	}
}

/** Throws L3dsrError (KERNEL_FEATURE) if the host can have no IPv6 rules. */
export function requireIpv6(state: ReturnType<typeof ipv6State>): void {
	if (state !== "absent") return;
	throw new L3dsrError({
		code: "KERNEL_FEATURE",
		message: "IPv6 is not available: this kernel was started without it",
		hint: "remove ipv6.disable=1 from the kernel command line, or use iptables-daddr",
	});
}
