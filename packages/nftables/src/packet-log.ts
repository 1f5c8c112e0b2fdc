/** Receives packets that nftables logs to a group (NFLOG): uapi/linux/netfilter/nfnetlink_log.h. */
import {
	type Attributes,
	attribute,
	decodeAttributes,
	ERRNO,
	Layout,
	NETLINK_PROTOCOL,
	Netlink,
	type NetlinkMessage,
	SyscallError,
	textAttribute,
} from "@l3dsr/linux";
import { familyOf, NFGENMSG } from "./uapi.ts";

const NFNL_SUBSYS_ULOG = 4;
const NFULNL_MSG_PACKET = (NFNL_SUBSYS_ULOG << 8) | 0;
const NFULNL_MSG_CONFIG = (NFNL_SUBSYS_ULOG << 8) | 1;

const NFULA_CFG = { CMD: 1, MODE: 2, TIMEOUT: 4, FLAGS: 6 } as const;
const NFULNL_CFG_CMD_BIND = 1;
const NFULNL_COPY_PACKET = 2;
const NFULNL_CFG_F_SEQ = 1;
const NFULA = {
	MARK: 2,
	IFINDEX_INDEV: 4,
	IFINDEX_OUTDEV: 5,
	HWADDR: 8,
	PAYLOAD: 9,
	PREFIX: 10,
	SEQ: 12,
	HWHEADER: 16,
};

const BE16 = new Layout({ value: "be16" });
const BE32 = new Layout({ value: "be32" });
/** struct nfulnl_msg_packet_hw */
const HARDWARE = new Layout({ length: "be16", _pad: "u16", address: { bytes: 8 } });

/** How long the kernel collects packets before it sends them, in milliseconds. */
export const GATHER_MS = 20;
const BUFFER_BYTES = 4 << 20;

export interface LoggedPacket {
	readonly family: "ipv4" | "ipv6";
	/** The log prefix of the rule that logged the packet. */
	readonly prefix: string;
	/** The packet from its network header, up to the rule's `snaplen`. */
	readonly bytes: Uint8Array;
	readonly mark: number;
	readonly inInterface?: number;
	readonly outInterface?: number;
	/** Source address of the link-layer header, if it has one. */
	readonly sourceMac?: readonly number[];
	/** The received link-layer header, if the packet has one. */
	readonly linkHeader?: Uint8Array;
}

/** The receiver of one group. No other socket can receive the group while this is open. */
export class PacketLog implements Disposable {
	readonly group: number;
	readonly #netlink: Netlink;
	#expected = 0;
	#lost = 0;

	private constructor(group: number, netlink: Netlink) {
		this.group = group;
		this.#netlink = netlink;
	}

	/** Takes the first free group of `groups`. Throws SyscallError (EPERM, or no group is free). */
	static open(groups: readonly number[]): PacketLog {
		const netlink = new Netlink(NETLINK_PROTOCOL.NETFILTER);
		try {
			netlink.holdAtMost(BUFFER_BYTES);
			for (const group of groups) {
				if (bind(netlink, group)) return new PacketLog(group, netlink);
			}
			const [first, last] = [groups[0], groups.at(-1)];
			throw new SyscallError(`receive packets logged to one of the groups ${first}-${last}`, ERRNO.EPERM);
		} catch (error) {
			netlink[Symbol.dispose]();
			throw error;
		}
	}

	/** The number of packets that the kernel dropped because nobody read them in time. */
	get lost(): number {
		return this.#lost;
	}

	/** Passes every pending packet to `receive`. */
	read(receive: (packet: LoggedPacket) => void): void {
		for (;;) {
			try {
				const messages = this.#netlink.unsolicited("receive logged packets");
				if (messages === undefined) return;
				for (const message of messages) {
					if (message.type === NFULNL_MSG_PACKET) this.#receive(message, receive);
				}
			} catch (error) {
				// The sequence numbers of the following packets tell how many were lost.
				if (!(error instanceof SyscallError) || error.errno !== ERRNO.ENOBUFS) throw error;
			}
		}
	}

	#receive({ payload }: NetlinkMessage, receive: (packet: LoggedPacket) => void): void {
		const { family } = NFGENMSG.decode(payload);
		const attributes = decodeAttributes(payload.subarray(NFGENMSG.size));
		const number = be32(attributes, NFULA.SEQ);
		if (number !== undefined) {
			this.#lost += Math.max(0, number - this.#expected);
			this.#expected = number + 1;
		}
		const inInterface = be32(attributes, NFULA.IFINDEX_INDEV);
		const outInterface = be32(attributes, NFULA.IFINDEX_OUTDEV);
		const sourceMac = macOf(attributes);
		const linkHeader = attributes.get(NFULA.HWHEADER);
		receive({
			family: familyOf(family) === "ip6" ? "ipv6" : "ipv4",
			prefix: textAttribute(attributes, NFULA.PREFIX) ?? "",
			bytes: attributes.get(NFULA.PAYLOAD) ?? new Uint8Array(0),
			mark: be32(attributes, NFULA.MARK) ?? 0,
			...(inInterface === undefined ? {} : { inInterface }),
			...(outInterface === undefined ? {} : { outInterface }),
			...(sourceMac === undefined ? {} : { sourceMac }),
			...(linkHeader === undefined ? {} : { linkHeader }),
		});
	}

	/** Waits until a packet can be read. Returns false if there is none after `timeoutMs`. */
	wait(timeoutMs: number): boolean {
		return this.#netlink.waitForUnsolicited(timeoutMs, "wait for logged packets");
	}

	[Symbol.dispose](): void {
		this.#netlink[Symbol.dispose]();
	}
}

/** Returns false if the group is taken. */
function bind(netlink: Netlink, group: number): boolean {
	const configure = (...attributes: readonly Uint8Array[]) =>
		netlink.change({
			type: NFULNL_MSG_CONFIG,
			payload: Buffer.concat([NFGENMSG.encode({ resource: group }), ...attributes]),
			doing: `receive packets logged to group ${group}`,
		});
	try {
		configure(attribute(NFULA_CFG.CMD, Uint8Array.of(NFULNL_CFG_CMD_BIND)));
	} catch (error) {
		// EPERM: the kernel's answer if another socket has the group, and also if privileges are missing.
		if (error instanceof SyscallError && error.errno === ERRNO.EPERM) return false;
		throw error;
	}
	// struct nfulnl_msg_config_mode: copy_range be32 (0: all), copy_mode u8, padding
	configure(
		attribute(NFULA_CFG.MODE, Uint8Array.of(0, 0, 0, 0, NFULNL_COPY_PACKET, 0)),
		attribute(NFULA_CFG.FLAGS, BE16.encode({ value: NFULNL_CFG_F_SEQ })),
		attribute(NFULA_CFG.TIMEOUT, BE32.encode({ value: GATHER_MS / 10 })),
	);
	return true;
}

function be32(attributes: Attributes, type: number): number | undefined {
	const value = attributes.get(type);
	return value === undefined ? undefined : BE32.decode(value).value;
}

function macOf(attributes: Attributes): readonly number[] | undefined {
	const value = attributes.get(NFULA.HWADDR);
	if (value === undefined) return undefined;
	const { length, address } = HARDWARE.decode(value);
	return length === 6 ? [...address.subarray(0, 6)] : undefined;
}
