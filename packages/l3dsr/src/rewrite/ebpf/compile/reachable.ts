/** Which of the host's addresses packets of directors are sent to. Pure. */
import type { Prefix } from "@l3dsr/packet";

/** As texts, sorted. Without link-local addresses, which no director sends to, and which come and go with every container. */
export function reachable(local: readonly Prefix[]): string[] {
	return local
		.filter(({ address: { family, bytes } }) => family === "ipv4" || bytes[0] !== 0xfe || bytes[1] !== 0x80)
		.map(textOfPrefix)
		.sort();
}

export function textOfPrefix({ address, length }: Prefix): string {
	return `${address.text}/${length}`;
}
