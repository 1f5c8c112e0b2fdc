export const OPEN_CHECKSUM_CHOICES = ["refuse", "accept"] as const;
/** How to treat XDP on devices that deliver packets with an open checksum (veth, virtio). */
export type OpenChecksums = (typeof OPEN_CHECKSUM_CHOICES)[number];
