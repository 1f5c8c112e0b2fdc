/**
 * The contexts that programs receive in r1 (include/uapi/linux/bpf.h), for programs and test runs:
 * `p.context(SKB).mark` loads the value that `SKB.encode({ mark: 7 })` sets.
 */
import { struct } from "../struct.ts";
import type { ValueKind } from "./kind.ts";
import type { Field } from "./view.ts";

/** 32 bits in the context, a whole pointer in the register: the verifier rewrites the load. */
function pointer(field: Field, kind: ValueKind): Field {
	return { ...field, bytes: 4, order: "host", kind };
}

/** A be16 in the lower half of 32 bits. */
function be16InU32(field: Field): Field {
	return { ...field, order: "network", significant: 2 };
}

/** struct __sk_buff, for BPF_PROG_TYPE_SCHED_CLS and SOCKET_FILTER. */
export const SKB = struct(
	"skb",
	{
		len: "u32",
		pkt_type: "u32",
		mark: "u32",
		queue_mapping: "u32",
		protocol: "u32",
		vlan_present: "u32",
		vlan_tci: "u32",
		vlan_proto: "u32",
		priority: "u32",
		ingress_ifindex: "u32",
		ifindex: "u32",
		tc_index: "u32",
		cb: { bytes: 20 },
		hash: "u32",
		tc_classid: "u32",
		data: "u32",
		data_end: "u32",
		napi_id: "u32",
		family: "u32",
		remote_ip4: "u32",
		local_ip4: "u32",
		remote_ip6: { bytes: 16 },
		local_ip6: { bytes: 16 },
		remote_port: "u32",
		local_port: "u32",
		data_meta: "u32",
		flow_keys: "pointer",
		tstamp: "u64",
		wire_len: "u32",
		gso_segs: "u32",
		sk: "pointer",
		gso_size: "u32",
		tstamp_type: "u32",
		hwtstamp: "u64",
	},
	(skb) => {
		/** One of the five numbers that programs may leave for each other. */
		const controlBuffer = (index: number): Field => ({ ...skb.mark, offset: skb.cb.offset + 4 * index });
		return {
			...skb,
			/** The EtherType. */
			protocol: be16InU32(skb.protocol),
			vlan_proto: be16InU32(skb.vlan_proto),
			cb0: controlBuffer(0),
			cb1: controlBuffer(1),
			cb2: controlBuffer(2),
			cb3: controlBuffer(3),
			cb4: controlBuffer(4),
			data: pointer(skb.data, "packet"),
			data_end: pointer(skb.data_end, "packet end"),
			data_meta: pointer(skb.data_meta, "packet meta"),
			/** The verifier does not allow a program to read the padding that follows it. */
			tstamp_type: { ...skb.tstamp_type, bytes: 1 },
		};
	},
);

/** struct xdp_md, for BPF_PROG_TYPE_XDP. */
export const XDP = struct(
	"xdp",
	{
		data: "u32",
		data_end: "u32",
		data_meta: "u32",
		ingress_ifindex: "u32",
		rx_queue_index: "u32",
		egress_ifindex: "u32",
	},
	(xdp) => ({
		...xdp,
		data: pointer(xdp.data, "packet"),
		data_end: pointer(xdp.data_end, "packet end"),
		data_meta: pointer(xdp.data_meta, "packet meta"),
	}),
);

/** Verdicts of BPF_PROG_TYPE_SCHED_CLS in direct-action mode (pkt_cls.h) and at tcx. */
export const TC_ACT = { OK: 0, SHOT: 2, PIPE: 3, STOLEN: 4, REDIRECT: 7, UNSPEC: -1 } as const;

/** enum xdp_action. */
export const XDP_ACTION = { ABORTED: 0, DROP: 1, PASS: 2, TX: 3, REDIRECT: 4 } as const;
