/** Questions to nf_tables for which starting nft(8) would be too much. */
import { ERRNO } from "./errno.ts";
import { SyscallError } from "./libc.ts";
import { NETLINK_PROTOCOL, Netlink } from "./netlink.ts";
import { attribute, decodeAttributes, textValue } from "./netlink-attribute.ts";
import { BE32, NFGENMSG } from "./nfnetlink.ts";

/** NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, include/uapi/linux/netfilter/nf_tables.h. */
const GET_TABLE = (10 << 8) | 1;
const NFTA_TABLE_NAME = 1;
/** NFT_MSG_GETGEN */
const GET_GENERATION = (10 << 8) | 16;
const NFTA_GEN_ID = 1;

/** NFPROTO_* */
const NFPROTO = { ip: 2, ip6: 10 } as const;

/**
 * Whether this network namespace has the table. Undefined when the kernel does not say (no root, no
 * nf_tables): nft(8) is then the one to ask, and to explain.
 */
export function nftTableExists(family: keyof typeof NFPROTO, name: string): boolean | undefined {
	try {
		using netlink = new Netlink(NETLINK_PROTOCOL.NETFILTER);
		const fixed = NFGENMSG.encode({ family: NFPROTO[family] });
		const payload = Buffer.concat([fixed, attribute(NFTA_TABLE_NAME, textValue(name))]);
		netlink.get({ type: GET_TABLE, payload, doing: `look up nft table ${family} ${name}` });
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
		const request = { type: GET_GENERATION, payload: NFGENMSG.encode({}), doing: "ask nft for changes" };
		const { payload } = netlink.get(request);
		const id = decodeAttributes(payload.subarray(NFGENMSG.size)).get(NFTA_GEN_ID);
		return id === undefined ? undefined : BE32.decode(id).value;
	} catch (error) {
		if (!(error instanceof SyscallError)) throw error;
		return undefined;
	}
}
