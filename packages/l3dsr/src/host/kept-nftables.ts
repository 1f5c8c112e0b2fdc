/**
 * One netlink socket to nf_tables for a process that runs for months. Closing a socket waits until the kernel has freed
 * what was deleted last (nft_rcv_nl_event, net/netfilter/nf_tables_api.c): 5 to 40 ms, in the middle of a repair.
 */
import { Nftables } from "@l3dsr/nftables";

export class KeptNftables extends Nftables {
	/** Called by each user when it is done: keeps the socket open. */
	override [Symbol.dispose](): void {}

	/** Closes the socket. */
	close(): void {
		super[Symbol.dispose]();
	}
}
