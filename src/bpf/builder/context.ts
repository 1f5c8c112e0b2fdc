/** The contexts that programs start with in r1 (uapi/linux/bpf.h), as layouts. */
import { be16, type Field, sparseLayout, u8, u32, u64, type ValueKind } from "./layout.ts";

function at(offset: number, field = u32, kind: ValueKind = "scalar"): Field {
	return { ...field, offset, kind };
}

const BE16_IN_U32 = { ...be16, bytes: 4, significant: 2 };

/** struct __sk_buff, for BPF_PROG_TYPE_SCHED_CLS and SOCKET_FILTER. */
export const SKB = sparseLayout("skb", {
	len: at(0),
	pkt_type: at(4),
	mark: at(8),
	queue_mapping: at(12),
	/** The EtherType, which the kernel keeps in network order in the lower 16 bits. */
	protocol: at(16, BE16_IN_U32),
	vlan_present: at(20),
	vlan_tci: at(24),
	vlan_proto: at(28, BE16_IN_U32),
	priority: at(32),
	ingress_ifindex: at(36),
	ifindex: at(40),
	tc_index: at(44),
	cb0: at(48),
	cb1: at(52),
	cb2: at(56),
	cb3: at(60),
	cb4: at(64),
	hash: at(68),
	tc_classid: at(72),
	data: at(76, u32, "packet"),
	data_end: at(80, u32, "packet end"),
	napi_id: at(84),
	data_meta: at(140, u32, "packet meta"),
	tstamp: at(152, u64),
	wire_len: at(160),
	gso_segs: at(164),
	gso_size: at(176),
	tstamp_type: at(180, u8),
	hwtstamp: at(184, u64),
});

/** struct xdp_md, for BPF_PROG_TYPE_XDP. */
export const XDP = sparseLayout("xdp", {
	data: at(0, u32, "packet"),
	data_end: at(4, u32, "packet end"),
	data_meta: at(8, u32, "packet meta"),
	ingress_ifindex: at(12),
	rx_queue_index: at(16),
	egress_ifindex: at(20),
});

/** Verdicts of BPF_PROG_TYPE_SCHED_CLS in direct-action mode (pkt_cls.h) and at tcx. */
export const TC_ACT = { OK: 0, SHOT: 2, PIPE: 3, STOLEN: 4, REDIRECT: 7, UNSPEC: -1 } as const;

/** enum xdp_action. */
export const XDP_ACTION = { ABORTED: 0, DROP: 1, PASS: 2, TX: 3, REDIRECT: 4 } as const;
