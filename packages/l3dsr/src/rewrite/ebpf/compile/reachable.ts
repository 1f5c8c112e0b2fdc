/** The addresses of the host that directors send packets to. Pure. */
import { type Prefix, prefixText } from "@l3dsr/packet";

/**
 * As sorted texts, without link-local addresses: directors do not send to these, and they come and go with
 * containers.
 */
export function reachable(local: readonly Prefix[]): string[] {
	return local
		.filter(({ address: { family, bytes } }) => family === "ipv4" || bytes[0] !== 0xfe || bytes[1] !== 0x80)
		.map(prefixText)
		.sort();
}
