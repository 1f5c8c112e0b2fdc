/** Lists, adds, changes and deletes addresses of interfaces over rtnetlink. */
import { type IfIndex, ifIndexOf } from "../if-index.ts";
import { Layout } from "../layout.ts";
import { type Netlink, type NetlinkMessage, NLM_F } from "../netlink.ts";
import { decodeAttributes, textAttribute, textValue, u32Attribute, u32Value } from "../netlink-attribute.ts";
import { AF_INET, AF_INET6 } from "../socket.ts";
import {
	addressText,
	familyOf,
	given,
	RTM,
	type ScopeName,
	scopeName,
	scopeNumber,
	withRtnetlink,
} from "./protocol.ts";

/** struct ifaddrmsg. */
const IFADDRMSG = new Layout({ family: "u8", prefixLength: "u8", flags: "u8", scope: "u8", index: "u32" });
const IFA = { ADDRESS: 1, LOCAL: 2, LABEL: 3, CACHEINFO: 6, FLAGS: 8, PROTO: 11 } as const;
/** struct ifa_cacheinfo: lifetimes in seconds, timestamps in hundredths of a second. */
const IFA_CACHEINFO = new Layout({ preferred: "u32", valid: "u32", created: "u32", updated: "u32" });
const FOR_EVER = 0xffffffff;

/** include/uapi/linux/if_addr.h */
const IFA_F = {
	/** IPv4: an earlier address has the same subnet. IPv6: a temporary address (RFC 8981). */
	SECONDARY: 0x01,
	NODAD: 0x02,
	DADFAILED: 0x08,
	DEPRECATED: 0x20,
	TENTATIVE: 0x40,
	PERMANENT: 0x80,
	NOPREFIXROUTE: 0x200,
} as const;

export interface HeldAddress {
	/** Index of the interface. */
	readonly index: IfIndex;
	/** 4 or 16, network order. */
	readonly bytes: Uint8Array;
	readonly prefixLength: number;
	/** `global`, `host`, `link` …; a number if it has no name. */
	readonly scope: string;
	/** IPv4 only: `lo:1`, or the interface's own name. */
	readonly label?: string;
	/** The remote end of a point-to-point address. */
	readonly peer?: Uint8Array;
	/** IPv4: an earlier address has the same subnet. IPv6: a temporary address. */
	readonly secondary: boolean;
	/** Its preferred lifetime is over: the kernel does not choose it as a source (IPv6). */
	readonly deprecated: boolean;
	/** IPv6: duplicate address detection has not finished. */
	readonly tentative: boolean;
	/** IPv6: another host has the address, so this one does not use it. */
	readonly duplicate: boolean;
	/** The kernel created no route to its subnet. */
	readonly noPrefixRoute: boolean;
	/**
	 * Who added it (`proto` of ip-address(8), Linux 5.18): 1-3 the kernel itself, others by convention of
	 * programs; absent if not set.
	 */
	readonly protocol?: number;
	/** Remaining seconds; Infinity for an address that does not expire. */
	readonly preferredS: number;
	readonly validS: number;
}

/** An address to add to an interface. */
export interface NewAddress {
	readonly index: IfIndex;
	readonly bytes: ArrayLike<number>;
	readonly prefixLength: number;
	/** Default: global. */
	readonly scope?: ScopeName;
	/** IPv4 only; at most 15 bytes. Default: the interface's name. */
	readonly label?: string;
	/** IPv6: usable at once, without duplicate address detection. */
	readonly noDad?: boolean;
	/** Create no route to the subnet. */
	readonly noPrefixRoute?: boolean;
	/** 4-255: stored with the address (Linux 5.18; older kernels ignore it). */
	readonly protocol?: number;
	/** Seconds; 0 makes it deprecated: the kernel does not choose it as a source (IPv6). Default: for ever. */
	readonly preferredS?: number;
	/** Seconds. Default: for ever. */
	readonly validS?: number;
}

/** The fields that identify an address of an interface. */
export type AddressKey = Pick<NewAddress, "index" | "bytes" | "prefixLength">;

/** The addresses of all interfaces, IPv4 first, in the kernel's order. Throws SyscallError. */
export function listAddresses(netlink?: Netlink): readonly HeldAddress[] {
	const request = { type: RTM.GETADDR, payload: IFADDRMSG.encode({}), doing: "list addresses" };
	return withRtnetlink(netlink, (socket) => socket.dump(request).flatMap(decodeAddress));
}

/** Throws SyscallError: EEXIST if the interface already has it, EACCES if IPv6 is disabled there. */
export function addAddress(address: NewAddress, netlink?: Netlink): void {
	change(address, NLM_F.CREATE | NLM_F.EXCL, "add", netlink);
}

/**
 * Changes the lifetimes of an address in place, or adds the address. The kernel cannot change a label or a
 * scope. Throws SyscallError.
 */
export function replaceAddress(address: NewAddress, netlink?: Netlink): void {
	change(address, NLM_F.CREATE | NLM_F.REPLACE, "replace", netlink);
}

/**
 * Deleting the first address of an IPv4 subnet also deletes the secondary ones, unless promote_secondaries is
 * set. Throws SyscallError: EADDRNOTAVAIL if the interface does not have it.
 */
export function deleteAddress(address: AddressKey, netlink?: Netlink): void {
	const { index, bytes, prefixLength } = address;
	const local = Uint8Array.from(bytes);
	const payload = Buffer.concat([
		IFADDRMSG.encode({ family: familyOf(bytes), prefixLength, index }),
		given([IFA.LOCAL, local], [IFA.ADDRESS, local]),
	]);
	const doing = `delete ${prefixText(address)} from interface ${index}`;
	withRtnetlink(netlink, (socket) => socket.change({ type: RTM.DELADDR, payload, doing }));
}

function change(address: NewAddress, flags: number, verb: string, netlink: Netlink | undefined): void {
	const { index, bytes, prefixLength, scope = "global", label, preferredS, validS } = address;
	const local = Uint8Array.from(bytes);
	const ifaFlags =
		(address.noDad === true ? IFA_F.NODAD : 0) | (address.noPrefixRoute === true ? IFA_F.NOPREFIXROUTE : 0);
	const limited = preferredS !== undefined || validS !== undefined;
	const payload = Buffer.concat([
		IFADDRMSG.encode({ family: familyOf(bytes), prefixLength, scope: scopeNumber(scope), index }),
		given(
			[IFA.LOCAL, local],
			[IFA.ADDRESS, local],
			[IFA.LABEL, label === undefined ? undefined : textValue(label)],
			[IFA.FLAGS, ifaFlags === 0 ? undefined : u32Value(ifaFlags)],
			[IFA.PROTO, address.protocol === undefined ? undefined : Uint8Array.of(address.protocol)],
			[
				IFA.CACHEINFO,
				limited
					? IFA_CACHEINFO.encode({ preferred: preferredS ?? FOR_EVER, valid: validS ?? FOR_EVER })
					: undefined,
			],
		),
	]);
	const doing = `${verb} ${prefixText(address)} on interface ${index}`;
	withRtnetlink(netlink, (socket) => socket.change({ type: RTM.NEWADDR, flags, payload, doing }));
}

function prefixText({ bytes, prefixLength }: AddressKey): string {
	return `${addressText(bytes)}/${prefixLength}`;
}

/** Empty if the message is not about an IP address. */
export function decodeAddress({ payload }: NetlinkMessage): HeldAddress[] {
	const fixed = IFADDRMSG.decode(payload);
	const { family, prefixLength, scope, index } = fixed;
	if (family !== AF_INET && family !== AF_INET6) return [];
	const attributes = decodeAttributes(payload.subarray(IFADDRMSG.size));
	// IFA_ADDRESS is the remote end if there is one.
	const other = attributes.get(IFA.ADDRESS);
	const bytes = attributes.get(IFA.LOCAL) ?? other;
	if (bytes === undefined) return [];
	const label = textAttribute(attributes, IFA.LABEL);
	const flags = u32Attribute(attributes, IFA.FLAGS) ?? fixed.flags;
	const protocol = attributes.get(IFA.PROTO)?.[0] ?? 0;
	const times = IFA_CACHEINFO.decode(
		attributes.get(IFA.CACHEINFO) ?? IFA_CACHEINFO.encode({ preferred: FOR_EVER, valid: FOR_EVER }),
	);
	return [
		{
			index: ifIndexOf(index),
			bytes,
			prefixLength,
			scope: scopeName(scope),
			...(label === undefined ? {} : { label }),
			...(other === undefined || Buffer.compare(other, bytes) === 0 ? {} : { peer: other }),
			secondary: (flags & IFA_F.SECONDARY) !== 0,
			deprecated: (flags & IFA_F.DEPRECATED) !== 0,
			tentative: (flags & IFA_F.TENTATIVE) !== 0,
			duplicate: (flags & IFA_F.DADFAILED) !== 0,
			noPrefixRoute: (flags & IFA_F.NOPREFIXROUTE) !== 0,
			...(protocol === 0 ? {} : { protocol }),
			preferredS: seconds(times.preferred),
			validS: seconds(times.valid),
		},
	];
}

function seconds(value: number): number {
	return value === FOR_EVER ? Number.POSITIVE_INFINITY : value;
}
