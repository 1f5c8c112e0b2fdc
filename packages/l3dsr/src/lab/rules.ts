/** The rules on the real servers, as the commands that a person would type there. */
import type { Family } from "@l3dsr/packet";
import type { DatapathName } from "../rewrite/datapath.ts";
import type { HookName } from "../rewrite/ebpf/kernel/attachment.ts";
import { REAL_SERVER_DEVICE, VIPS } from "./layout.ts";

/** Which datapath the lab asks for; `hook` only for ebpf. */
export interface LabDatapath {
	readonly datapath: DatapathName | "auto";
	readonly hook?: HookName;
}

/**
 * Whether the rules hang at XDP. A packet from another namespace may come without its checksum, which XDP cannot
 * see: such a lab has a client that completes what it sends, as a card does, and real servers that accept that.
 */
export function needsCompleteChecksums({ hook }: LabDatapath): boolean {
	return hook === "xdp" || hook === "xdp-generic";
}

export interface RuleCommand {
	readonly program: "iptables-daddr" | "ip6tables-daddr";
	readonly args: readonly string[];
}

const PROGRAM = { ipv4: "iptables-daddr", ipv6: "ip6tables-daddr" } as const satisfies Record<Family, string>;

/**
 * Where the rules go. The document of iptables-daddr puts them into mangle INPUT; a program at an interface
 * sees a packet before the kernel has decided whether it is input, which is what raw PREROUTING means.
 */
function placeOf({ datapath }: LabDatapath): { table: string; chain: string; device: readonly string[] } {
	return datapath === "ebpf"
		? { table: "raw", chain: "PREROUTING", device: ["-i", REAL_SERVER_DEVICE] }
		: { table: "mangle", chain: "INPUT", device: [] };
}

/** One rule for each VIP: DSCP to destination. */
export function addCommands(choice: LabDatapath): RuleCommand[] {
	const { table, chain, device } = placeOf(choice);
	return VIPS.map(({ vip, dscp }) => {
		const match = [...device, "-m", "dscp", "--dscp", String(dscp)];
		const target = ["-j", "DADDR", `--set-daddr=${vip.text}`];
		return { program: PROGRAM[vip.family], args: ["-t", table, "-A", chain, ...match, ...target] };
	});
}

/** Takes all of them away again. */
export function flushCommands(choice: LabDatapath): RuleCommand[] {
	const { table, chain } = placeOf(choice);
	return Object.values(PROGRAM).map((program) => ({ program, args: ["-t", table, "-F", chain] }));
}

/** What the rule commands are to choose, told by their environment. */
export function datapathEnvironment(choice: LabDatapath): Record<string, string> {
	const { datapath, hook } = choice;
	return {
		...(datapath === "auto" ? {} : { L3DSR_DATAPATH: datapath }),
		...(hook === undefined ? {} : { L3DSR_HOOK: hook }),
		...(needsCompleteChecksums(choice) ? { L3DSR_OPEN_CHECKSUMS: "accept" } : {}),
	};
}
