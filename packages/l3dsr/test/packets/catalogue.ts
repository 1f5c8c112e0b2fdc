/**
 * Every kind of packet that the rewrite must get right, valid and broken, by name.
 *
 * Each case builds its packet from scratch from header fields. The expected result of a rewrite is the same
 * packet built for the VIP, so it does not depend on the code under test.
 */
import { IPV4_CASES } from "./catalogue-ipv4.ts";
import { IPV6_CASES } from "./catalogue-ipv6.ts";
import { type PacketCase, REAL_IPV4, REAL_IPV6, type Variation, VIP_IPV4, VIP_IPV6 } from "./packet-case.ts";

export {
	type KernelVerdict,
	type PacketCase,
	REAL_IPV4,
	REAL_IPV6,
	type Variation,
	VIP_IPV4,
	VIP_IPV6,
} from "./packet-case.ts";

export const CATALOGUE: readonly PacketCase[] = [...IPV4_CASES, ...IPV6_CASES];

/** The destination of arriving packets of a family, and the address that tests rewrite it to. */
export const ADDRESSES = {
	ipv4: { real: REAL_IPV4, vip: VIP_IPV4 },
	ipv6: { real: REAL_IPV6, vip: VIP_IPV6 },
} as const;

/**
 * The packet of a case before and after a rule `-m dscp --dscp DSCP -j DADDR --set-daddr VIP` with the given
 * extensions of the target.
 */
export function beforeAndAfter(
	packetCase: PacketCase,
	{
		dscp = 1,
		id = 0,
		setPort,
		clearDscp = false,
	}: { dscp?: number; id?: number; setPort?: number; clearDscp?: boolean } = {},
): { before: Uint8Array; after: Uint8Array } {
	const { real, vip } = ADDRESSES[packetCase.family];
	const arriving: Variation = { destination: real, dscp, port: 80, id };
	const before = packetCase.build(arriving);
	if (packetCase.untouched) return { before, after: before };
	const after = packetCase.build({
		destination: vip,
		dscp: clearDscp ? 0 : dscp,
		port: packetCase.hasPort ? (setPort ?? 80) : 80,
		id,
	});
	return { before, after };
}
