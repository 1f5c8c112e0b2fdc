/** Questions to nf_tables for which starting nft(8) would be too much. */
import { ERRNO } from "./errno.ts";
import { SyscallError } from "./libc.ts";
import { NETLINK_PROTOCOL, Netlink } from "./netlink.ts";
import { attribute, decodeAttributes, textValue } from "./netlink-attribute.ts";
import { BE32, NFGENMSG } from "./nfnetlink.ts";

/** NFNL_SUBSYS_NFTABLES, include/uapi/linux/netfilter/nfnetlink.h. */
export const SUBSYSTEM_NFTABLES = 10;
const message = (number: number): number => (SUBSYSTEM_NFTABLES << 8) | number;
/** NFT_MSG_*, include/uapi/linux/netfilter/nf_tables.h. */
export const NFT_MSG = {
	NEWTABLE: message(0),
	GETTABLE: message(1),
	NEWCHAIN: message(3),
	GETCHAIN: message(4),
	NEWRULE: message(6),
	GETRULE: message(7),
	NEWSET: message(9),
	GETSET: message(10),
	NEWSETELEM: message(12),
	GETSETELEM: message(13),
	GETGEN: message(16),
	GETOBJ: message(19),
} as const;
const NFTA_TABLE_NAME = 1;
const NFTA_GEN_ID = 1;

/** NFPROTO_* */
export const NFPROTO = { ip: 2, ip6: 10 } as const;
export type NftFamily = keyof typeof NFPROTO;

/**
 * Whether this network namespace has the table. Undefined when the kernel does not say (no root, no
 * nf_tables): nft(8) is then the one to ask, and to explain.
 */
export function nftTableExists(family: NftFamily, name: string): boolean | undefined {
	try {
		using netlink = new Netlink(NETLINK_PROTOCOL.NETFILTER);
		const fixed = NFGENMSG.encode({ family: NFPROTO[family] });
		const payload = Buffer.concat([fixed, attribute(NFTA_TABLE_NAME, textValue(name))]);
		netlink.get({ type: NFT_MSG.GETTABLE, payload, doing: `look up nft table ${family} ${name}` });
		return true;
	} catch (error) {
		if (!(error instanceof SyscallError)) throw error;
		return error.errno === ERRNO.ENOENT ? false : undefined;
	}
}

/**
 * A number that changes with every change of this network namespace's ruleset, whoever makes it. Undefined
 * when the kernel does not say.
 */
export function rulesetGeneration(): number | undefined {
	try {
		using netlink = new Netlink(NETLINK_PROTOCOL.NETFILTER);
		const request = { type: NFT_MSG.GETGEN, payload: NFGENMSG.encode({}), doing: "ask nft for changes" };
		const { payload } = netlink.get(request);
		const id = decodeAttributes(payload.subarray(NFGENMSG.size)).get(NFTA_GEN_ID);
		return id === undefined ? undefined : BE32.decode(id).value;
	} catch (error) {
		if (!(error instanceof SyscallError)) throw error;
		return undefined;
	}
}
