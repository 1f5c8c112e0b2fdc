/** Where a program is attached, as bpf(2) numbers it. */

/** enum bpf_attach_type: the types in use. */
export const BPF_ATTACH_TYPE = {
	BPF_TRACE_FEXIT: 25,
	BPF_XDP: 37,
	BPF_TCX_INGRESS: 46,
	BPF_TCX_EGRESS: 47,
} as const;
export type AttachTypeName = keyof typeof BPF_ATTACH_TYPE;

export const TCX_ATTACH_TYPES = {
	ingress: BPF_ATTACH_TYPE.BPF_TCX_INGRESS,
	egress: BPF_ATTACH_TYPE.BPF_TCX_EGRESS,
} as const;
/** The direction as seen from the network stack. */
export type TcDirection = keyof typeof TCX_ATTACH_TYPES;
