/** The kernel's helper functions by name: number, arguments, and effect on packet pointers. */

export interface HelperFunction {
	/** BPF_FUNC_*, uapi/linux/bpf.h. */
	readonly id: number;
	readonly args: 0 | 1 | 2 | 3 | 4 | 5;
	/**
	 * bpf_helper_changes_pkt_data() in net/core/filter.c: the packet may move, which invalidates every
	 * pointer to it.
	 */
	readonly movesPacket?: true;
	/**
	 * `pointer`: an address or 0. `error`: 0 or more, or `-errno`. `none`: the result must not be read.
	 * Default: an unsigned number.
	 */
	readonly result?: "pointer" | "error" | "none";
}

/**
 * Helpers that programs of type SCHED_CLS, XDP, SYSCALL or TRACING can call, with arguments in the order of
 * bpf-helpers(7).
 */
export const HELPER_FUNCTIONS = {
	bpf_map_lookup_elem: { id: 1, args: 2, result: "pointer" },
	bpf_map_update_elem: { id: 2, args: 4, result: "error" },
	bpf_map_delete_elem: { id: 3, args: 2, result: "error" },
	bpf_ktime_get_ns: { id: 5, args: 0 },
	bpf_trace_printk: { id: 6, args: 5, result: "error" },
	bpf_get_prandom_u32: { id: 7, args: 0 },
	bpf_get_smp_processor_id: { id: 8, args: 0 },
	bpf_skb_store_bytes: { id: 9, args: 5, movesPacket: true, result: "error" },
	bpf_l3_csum_replace: { id: 10, args: 5, movesPacket: true, result: "error" },
	bpf_l4_csum_replace: { id: 11, args: 5, movesPacket: true, result: "error" },
	bpf_tail_call: { id: 12, args: 3, result: "error" },
	bpf_clone_redirect: { id: 13, args: 3, movesPacket: true, result: "error" },
	bpf_skb_vlan_push: { id: 18, args: 3, movesPacket: true, result: "error" },
	bpf_skb_vlan_pop: { id: 19, args: 1, movesPacket: true, result: "error" },
	bpf_redirect: { id: 23, args: 2 },
	bpf_perf_event_output: { id: 25, args: 5, result: "error" },
	bpf_skb_load_bytes: { id: 26, args: 4, result: "error" },
	bpf_csum_diff: { id: 28, args: 5, result: "error" },
	bpf_skb_change_proto: { id: 31, args: 3, movesPacket: true, result: "error" },
	bpf_skb_change_type: { id: 32, args: 2, result: "error" },
	bpf_get_hash_recalc: { id: 34, args: 1 },
	bpf_skb_change_tail: { id: 38, args: 3, movesPacket: true, result: "error" },
	bpf_skb_pull_data: { id: 39, args: 2, movesPacket: true, result: "error" },
	bpf_csum_update: { id: 40, args: 2, result: "error" },
	bpf_set_hash_invalid: { id: 41, args: 1, result: "none" },
	bpf_skb_change_head: { id: 43, args: 3, movesPacket: true, result: "error" },
	bpf_xdp_adjust_head: { id: 44, args: 2, movesPacket: true, result: "error" },
	bpf_skb_adjust_room: { id: 50, args: 4, movesPacket: true, result: "error" },
	bpf_redirect_map: { id: 51, args: 3 },
	bpf_xdp_adjust_meta: { id: 54, args: 2, movesPacket: true, result: "error" },
	bpf_xdp_adjust_tail: { id: 65, args: 2, movesPacket: true, result: "error" },
	bpf_skb_load_bytes_relative: { id: 68, args: 5, result: "error" },
	bpf_fib_lookup: { id: 69, args: 4, result: "error" },
	bpf_sk_lookup_tcp: { id: 84, args: 5, result: "pointer" },
	bpf_sk_release: { id: 86, args: 1, result: "error" },
	bpf_spin_lock: { id: 93, args: 1, result: "none" },
	bpf_spin_unlock: { id: 94, args: 1, result: "none" },
	bpf_skb_ecn_set_ce: { id: 97, args: 1 },
	bpf_skc_lookup_tcp: { id: 99, args: 5, result: "pointer" },
	bpf_tcp_check_syncookie: { id: 100, args: 5, result: "error" },
	bpf_tcp_gen_syncookie: { id: 110, args: 5, result: "error" },
	bpf_probe_read_kernel: { id: 113, args: 3, result: "error" },
	bpf_jiffies64: { id: 118, args: 0 },
	bpf_ktime_get_boot_ns: { id: 125, args: 0 },
	bpf_ringbuf_output: { id: 130, args: 4, result: "error" },
	bpf_ringbuf_reserve: { id: 131, args: 3, result: "pointer" },
	bpf_ringbuf_submit: { id: 132, args: 2, result: "none" },
	bpf_ringbuf_discard: { id: 133, args: 2, result: "none" },
	bpf_csum_level: { id: 135, args: 2, result: "error" },
	bpf_redirect_neigh: { id: 152, args: 4 },
	bpf_redirect_peer: { id: 155, args: 2 },
	bpf_ktime_get_coarse_ns: { id: 160, args: 0 },
	bpf_check_mtu: { id: 163, args: 5, result: "error" },
	bpf_btf_find_by_name_kind: { id: 167, args: 4, result: "error" },
	bpf_xdp_get_buff_len: { id: 188, args: 1 },
	bpf_xdp_load_bytes: { id: 189, args: 4, result: "error" },
	bpf_xdp_store_bytes: { id: 190, args: 4, result: "error" },
	bpf_map_lookup_percpu_elem: { id: 195, args: 3, result: "pointer" },
	bpf_tcp_raw_gen_syncookie_ipv4: { id: 204, args: 3, result: "error" },
	bpf_tcp_raw_gen_syncookie_ipv6: { id: 205, args: 3, result: "error" },
	bpf_tcp_raw_check_syncookie_ipv4: { id: 206, args: 2, result: "error" },
	bpf_tcp_raw_check_syncookie_ipv6: { id: 207, args: 2, result: "error" },
} as const satisfies Record<string, HelperFunction>;

export type HelperName = keyof typeof HELPER_FUNCTIONS;

const NAMES: ReadonlyMap<number, string> = new Map(
	Object.entries(HELPER_FUNCTIONS).map(([name, { id }]) => [id, name]),
);

/** The name of the helper with this number, if the table has it. */
export function helperName(id: number): string | undefined {
	return NAMES.get(id);
}
