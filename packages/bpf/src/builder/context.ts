/** The contexts that programs start with in r1, as layouts: made from the tables of the structures in src/bpf-syscall.ts. */
import { SK_BUFF, XDP_MD } from "../bpf-syscall.ts";
import type { ValueKind } from "./kind.ts";
import { type Field, sparseLayout, structure, u32 } from "./layout.ts";

const skb = structure("skb", SK_BUFF).fields;
const xdp = structure("xdp", XDP_MD).fields;

/** 32 bits in the context, a whole pointer in the register: the verifier sees to that. */
function pointer(field: Field, kind: ValueKind): Field {
	return { ...field, kind };
}

/** A be16 in the lower half of 32 bits. */
function be16InU32(field: Field): Field {
	return { ...field, order: "network", significant: 2 };
}

/** One of the five numbers that programs may leave for each other. */
function controlBuffer(index: number): Field {
	return { ...u32, offset: skb.cb.offset + 4 * index };
}

/** struct __sk_buff, for BPF_PROG_TYPE_SCHED_CLS and SOCKET_FILTER. */
export const SKB = sparseLayout("skb", {
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
	/** The rest of its 32 bits is padding, which the verifier does not let a program read. */
	tstamp_type: { ...skb.tstamp_type, bytes: 1 },
});

/** struct xdp_md, for BPF_PROG_TYPE_XDP. */
export const XDP = sparseLayout("xdp", {
	...xdp,
	data: pointer(xdp.data, "packet"),
	data_end: pointer(xdp.data_end, "packet end"),
	data_meta: pointer(xdp.data_meta, "packet meta"),
});

/** Verdicts of BPF_PROG_TYPE_SCHED_CLS in direct-action mode (pkt_cls.h) and at tcx. */
export const TC_ACT = { OK: 0, SHOT: 2, PIPE: 3, STOLEN: 4, REDIRECT: 7, UNSPEC: -1 } as const;

/** enum xdp_action. */
export const XDP_ACTION = { ABORTED: 0, DROP: 1, PASS: 2, TX: 3, REDIRECT: 4 } as const;
