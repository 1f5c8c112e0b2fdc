/**
 * Kinds of virtual interfaces (IFLA_INFO_KIND), and drivers of paravirtual cards, that deliver packets whose
 * transport checksum the sender has left open (rewrite/ebpf/kernel/open-checksums.ts).
 */
export const OPEN_CHECKSUM_DEVICES: ReadonlySet<string> = new Set([
	"veth",
	"tun",
	"tap",
	"netkit",
	"virtio_net",
	"vmxnet3",
	"xen_netfront",
	"vif",
	"hv_netvsc",
]);
