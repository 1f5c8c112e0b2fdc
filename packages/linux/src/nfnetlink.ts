/** What begins every message to and from netfilter: struct nfgenmsg, uapi/linux/netfilter/nfnetlink.h. */
import { Layout } from "./layout.ts";

/** `family` is an NFPROTO_*; `resource` depends on the subsystem (of NFLOG, the group). */
export const NFGENMSG = new Layout({ family: "u8", version: "u8", resource: "be16" });

/** A number in an attribute: network order. */
export const BE32 = new Layout({ value: "be32" });
