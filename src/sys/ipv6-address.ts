/** IPv6 addresses of this network namespace, as rtnetlink lists them. */
import { Layout } from "./layout.ts";
import { Netlink } from "./netlink.ts";
import { decodeAttributes, u32Attribute } from "./netlink-attribute.ts";
import { AF_INET6 } from "./socket.ts";

const RTM_GETADDR = 22;
/** include/uapi/linux/if_addr.h */
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const IFA_F_DADFAILED = 0x08;

/** struct ifaddrmsg. */
const IFADDRMSG = new Layout({ family: "u8", prefixLength: "u8", flags: "u8", scope: "u8", index: "u32" });

/** 16 bytes each, of every interface, whose duplicate was not found; whether its check has ended or not. */
export function listIpv6Addresses(): readonly Uint8Array[] {
	using netlink = new Netlink();
	return netlink
		.dump({
			type: RTM_GETADDR,
			payload: IFADDRMSG.encode({ family: AF_INET6 }),
			doing: "list the IPv6 addresses",
		})
		.flatMap(({ payload }) => {
			const attributes = decodeAttributes(payload.subarray(IFADDRMSG.size));
			const flags = u32Attribute(attributes, IFA_FLAGS) ?? IFADDRMSG.decode(payload).flags;
			// IFA_ADDRESS is the other end of a point-to-point link, where IFA_LOCAL is there too.
			const address = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
			// A kernel without IPv6 answers with what it has.
			return address?.length !== 16 || (flags & IFA_F_DADFAILED) !== 0 ? [] : [address];
		});
}
