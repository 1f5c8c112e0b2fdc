/** The lab's director (syntax/export/nft-director.ts), and what its client marks by itself. */
import type { Family } from "@l3dsr/packet";
import { directorTable } from "../syntax/export/nft-director.ts";
import { addressOf, OTHER_DSCP, REAL_SERVERS, VIPS } from "./layout.ts";

/** Input of `nft -f -` in the director's namespace. */
export function directorRuleset(families: readonly Family[]): string {
	return families
		.map((family) =>
			directorTable(
				family,
				VIPS.filter(({ vip }) => vip.family === family),
				REAL_SERVERS.map((server) => addressOf(server, family)),
			),
		)
		.join("");
}

/**
 * Input of `nft -f -` in the client's namespace: what it sends to a real server's own address carries a
 * DSCP that no rule knows, as VoIP or a backup job on the same network might.
 */
export function clientRuleset(families: readonly Family[]): string {
	const rules = families.flatMap((family) =>
		REAL_SERVERS.map((server) => {
			const header = family === "ipv4" ? "ip" : "ip6";
			return `\t\t${header} daddr ${addressOf(server, family).text} ${header} dscp set ${OTHER_DSCP}\n`;
		}),
	);
	return `table inet marking {\n\tchain output {\n\t\ttype filter hook output priority mangle\n${rules.join("")}\t}\n}\n`;
}
