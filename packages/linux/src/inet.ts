/** Addresses and routes of this network namespace, by rtnetlink. */
import { ERRNO } from "./errno.ts";
import { Layout } from "./layout.ts";
import { SyscallError } from "./libc.ts";
import { Netlink, type NetlinkMessage } from "./netlink.ts";
import { decodeAttributes, textAttribute, u32Attribute } from "./netlink-attribute.ts";
import { AF_INET, AF_INET6 } from "./socket.ts";

const RTM_GETADDR = 22;
const RTM_GETROUTE = 26;

/** struct ifaddrmsg. */
const IFADDRMSG = new Layout({ family: "u8", prefixLength: "u8", flags: "u8", scope: "u8", index: "u32" });
const IFA = { ADDRESS: 1, LOCAL: 2, LABEL: 3, FLAGS: 8 } as const;
/** include/uapi/linux/if_addr.h */
const IFA_F_DADFAILED = 0x08;

/** struct rtmsg. */
const RTMSG = new Layout({
	family: "u8",
	destinationLength: "u8",
	sourceLength: "u8",
	tos: "u8",
	table: "u8",
	protocol: "u8",
	scope: "u8",
	type: "u8",
	flags: "u32",
});
const RTA_DST = 1;
const RT_TABLE_LOCAL = 255;
const RTN_LOCAL = 2;
const RTM_F_CLONED = 0x200;

/** As /etc/iproute2/rt_scopes names them. */
const SCOPES: Readonly<Record<number, string>> = {
	0: "global",
	200: "site",
	253: "link",
	254: "host",
	255: "nowhere",
};

export interface HeldAddress {
	/** Index of the interface. */
	readonly index: number;
	/** 4 or 16, network order. */
	readonly bytes: Uint8Array;
	readonly prefixLength: number;
	/** `global`, `host`, `link` …; a number where it has no name. */
	readonly scope: string;
	/** IPv6: another host has it, so this one does not use it. */
	readonly duplicate: boolean;
	/** IPv4 alone. */
	readonly label?: string;
}

/** What every interface holds, IPv4 first, in the kernel's order. Throws SyscallError. */
export function listAddresses(): readonly HeldAddress[] {
	using netlink = new Netlink();
	const payload = IFADDRMSG.encode({});
	return netlink.dump({ type: RTM_GETADDR, payload, doing: "list addresses" }).flatMap(decodeAddress);
}

function decodeAddress({ payload }: NetlinkMessage): HeldAddress[] {
	const { family, prefixLength, scope, index, flags } = IFADDRMSG.decode(payload);
	if (family !== AF_INET && family !== AF_INET6) return [];
	const attributes = decodeAttributes(payload.subarray(IFADDRMSG.size));
	// IFA_ADDRESS is the other end where there is one.
	const bytes = attributes.get(IFA.LOCAL) ?? attributes.get(IFA.ADDRESS);
	if (bytes === undefined) return [];
	const label = textAttribute(attributes, IFA.LABEL);
	return [
		{
			index,
			bytes,
			prefixLength,
			scope: SCOPES[scope] ?? String(scope),
			duplicate: ((u32Attribute(attributes, IFA.FLAGS) ?? flags) & IFA_F_DADFAILED) !== 0,
			...(label === undefined ? {} : { label }),
		},
	];
}

export interface RoutePrefix {
	/** 4 or 16, network order. */
	readonly bytes: Uint8Array;
	readonly length: number;
}

/** Destinations of the routes of type "local" of both families, IPv4 first. Throws SyscallError. */
export function listLocalRoutes(): readonly RoutePrefix[] {
	using netlink = new Netlink();
	return [AF_INET, AF_INET6].flatMap((family) => {
		const payload = RTMSG.encode({ family, table: RT_TABLE_LOCAL, type: RTN_LOCAL });
		try {
			const messages = netlink.dump({ type: RTM_GETROUTE, payload, doing: "list the local routes" });
			return messages.flatMap((message) => decodeLocalRoute(message, family));
		} catch (error) {
			// A table that nothing has been put into yet does not exist.
			if (error instanceof SyscallError && error.errno === ERRNO.ENOENT) return [];
			throw error;
		}
	});
}

/** Kernels that cannot choose (before 4.20) send every route, and all families for one that they do not have. */
function decodeLocalRoute({ payload }: NetlinkMessage, wanted: number): RoutePrefix[] {
	const { family, destinationLength, table, type, flags } = RTMSG.decode(payload);
	if (family !== wanted || table !== RT_TABLE_LOCAL || type !== RTN_LOCAL) return [];
	if ((flags & RTM_F_CLONED) !== 0) return [];
	const bytes = decodeAttributes(payload.subarray(RTMSG.size)).get(RTA_DST);
	return bytes === undefined ? [] : [{ bytes, length: destinationLength }];
}
