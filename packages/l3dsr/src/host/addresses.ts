/**
 * VIPs on the loopback interface, read by rtnetlink and changed through ip(8).
 *
 * A VIP is a /32 with a label `lo:N` (IPv4, so that ifconfig shows it too) or a /128 (IPv6, which has no
 * labels). Any number of changes are one run of `ip -batch`.
 */

import { interfaceByName, listAddresses } from "@l3dsr/linux";
import { type Address, addressBits, addressFromBytes, parseAddress } from "@l3dsr/packet";
import { L3dsrError } from "../errors.ts";
import type { ProgramRunner } from "./process.ts";

/** An address that an interface holds. */
export interface InterfaceAddress {
	readonly address: Address;
	readonly prefixLength: number;
	/** `lo:1`; the interface's own name when none was given; IPv6 has none. */
	readonly label?: string;
	/** `host` for 127.0.0.1 and ::1, `global` for VIPs. */
	readonly scope: string;
}

export interface AddressChange {
	/** `relabel`: the kernel cannot; the address is made again, and stays local meanwhile. */
	readonly kind: "add" | "remove" | "relabel";
	readonly address: Address;
	/** The address alone (/32 or /128) where absent. */
	readonly prefixLength?: number;
	/** IPv4, to add or to have instead. */
	readonly label?: string;
	/** A prefix length at which the interface does not hold the address yet (`relabel`). */
	readonly spareLength?: number;
}

/** Where an `ip` command works: here, or in a named network namespace. */
export interface In {
	readonly namespace?: string;
}

/** Addresses of `lo` in the kernel's order. Throws KERNEL_*; for another namespace PROGRAM_MISSING, PROGRAM_FAILED. */
export async function listLoopbackAddresses(
	programs: ProgramRunner,
	where: In = {},
): Promise<InterfaceAddress[]> {
	if (where.namespace === undefined) return ownLoopbackAddresses();
	const { exitCode, stdout, stderr } = await programs.run("ip", [
		...inNamespace(where),
		"-j",
		"address",
		"show",
		"dev",
		"lo",
	]);
	if (exitCode !== 0) {
		throw new L3dsrError({
			code: "PROGRAM_FAILED",
			message: `list the addresses of lo: ip: ${firstLine(stderr)}`,
		});
	}
	return decodeAddresses(stdout);
}

function ownLoopbackAddresses(): InterfaceAddress[] {
	const { index } = interfaceByName("lo");
	return listAddresses()
		.filter((one) => one.index === index)
		.map(({ bytes, prefixLength, scope, label }) => ({
			address: addressFromBytes(bytes),
			prefixLength,
			scope,
			...(label === undefined ? {} : { label }),
		}));
}

/** An interface and what it holds. */
export interface AddressedInterface {
	readonly name: string;
	readonly up: boolean;
	readonly mtu: number;
	/** The interface that it is tied to: below a VLAN device, the other end of a veth. */
	readonly linked?: string;
	readonly addresses: readonly InterfaceAddress[];
}

/** Every interface of this network namespace, `lo` too, in the kernel's order. Throws PROGRAM_MISSING, PROGRAM_FAILED. */
export async function listInterfaceAddresses(programs: ProgramRunner): Promise<AddressedInterface[]> {
	const { exitCode, stdout, stderr } = await programs.run("ip", ["-j", "address", "show"]);
	if (exitCode !== 0) {
		throw new L3dsrError({ code: "PROGRAM_FAILED", message: `list addresses: ip: ${firstLine(stderr)}` });
	}
	return arrayOf(JSON.parse(stdout)).map((entry) => {
		const linked = fieldOf(entry, "link");
		return {
			name: String(fieldOf(entry, "ifname")),
			up: arrayOf(fieldOf(entry, "flags")).includes("UP"),
			mtu: Number(fieldOf(entry, "mtu")),
			...(typeof linked === "string" ? { linked } : {}),
			addresses: addressesOf(entry),
		};
	});
}

/** What `ip -j address show` prints, as values; entries that are neither IPv4 nor IPv6 are left out. */
export function decodeAddresses(json: string): InterfaceAddress[] {
	const interfaces: unknown = JSON.parse(json);
	return arrayOf(interfaces).flatMap(addressesOf);
}

function addressesOf(entry: unknown): InterfaceAddress[] {
	return arrayOf(fieldOf(entry, "addr_info")).flatMap((info) => {
		const address = parseAddress(String(fieldOf(info, "local")));
		const label = fieldOf(info, "label");
		if (address === undefined) return [];
		return [
			{
				address,
				prefixLength: Number(fieldOf(info, "prefixlen")),
				scope: String(fieldOf(info, "scope")),
				...(typeof label === "string" ? { label } : {}),
			},
		];
	});
}

/**
 * Makes the changes in order, in one process. Throws PROGRAM_FAILED that names the first change refused;
 * those before it stand, so observe again before undoing. No changes, no process.
 */
export async function changeLoopbackAddresses(
	programs: ProgramRunner,
	changes: readonly AddressChange[],
	where: In = {},
): Promise<void> {
	if (changes.length === 0) return;
	const { exitCode, stderr } = await programs.run("ip", [...inNamespace(where), "-batch", "-"], {
		input: encodeBatch(changes),
	});
	if (exitCode === 0) return;
	const line = Number(/^Command failed -:(\d+)/m.exec(stderr)?.[1] ?? 1);
	const change = changes.flatMap((one) => commandsOf(one).map(() => one))[line - 1];
	const what =
		change === undefined
			? "change addresses of lo"
			: `${change.kind} ${change.address.text} ${{ add: "to", remove: "from", relabel: "on" }[change.kind]} lo`;
	throw new L3dsrError({
		code: "PROGRAM_FAILED",
		message: `${what}: ip: ${firstLine(stderr)}`,
		...hintFor(stderr),
	});
}

/** The input of `ip -batch -` for these changes. */
export function encodeBatch(changes: readonly AddressChange[]): string {
	return changes.flatMap(commandsOf).join("");
}

function commandsOf(change: AddressChange): string[] {
	const { address, label = "lo" } = change;
	const prefix = `${address.text}/${change.prefixLength ?? addressBits(address.family)}`;
	const remove = `address del ${prefix} dev lo\n`;
	// An address that nobody else can hold needs no duplicate address detection (it would be tentative,
	// and not answer, for a second).
	const add = `address add ${prefix} dev lo${address.family === "ipv6" ? " nodad" : ` label ${label}`}\n`;
	if (change.kind === "remove") return [remove];
	if (change.kind === "add") return [add];
	// While the address stands twice, taking one of the two away leaves its local route.
	const double = `${address.text}/${change.spareLength ?? addressBits(address.family) - 1} dev lo`;
	return [`address add ${double} noprefixroute\n`, remove, add, `address del ${double}\n`];
}

function inNamespace({ namespace }: In): string[] {
	return namespace === undefined ? [] : ["-n", namespace];
}

function firstLine(text: string): string {
	return (
		text
			.trim()
			.split("\n")[0]
			?.replace(/^(Error: |RTNETLINK answers: )/, "")
			.replace(/\.$/, "") ?? ""
	);
}

function hintFor(stderr: string): { hint?: string } {
	if (stderr.includes("Operation not permitted")) return { hint: "run this as root (CAP_NET_ADMIN)" };
	// What the kernel says to an IPv6 address where net.ipv6.conf.lo.disable_ipv6 is 1.
	if (/Permission denied|IPv6 is disabled/.test(stderr))
		return { hint: "IPv6 may be disabled here: sysctl net.ipv6.conf.lo.disable_ipv6" };
	return {};
}

function arrayOf(value: unknown): unknown[] {
	return Array.isArray(value) ? value : [];
}

function fieldOf(value: unknown, name: string): unknown {
	return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
