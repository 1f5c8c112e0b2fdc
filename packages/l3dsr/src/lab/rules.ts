/** The rules on the real servers, as the commands that a person would type there. */
import type { Family } from "@l3dsr/packet";
import type { DatapathName } from "../rewrite/datapath.ts";
import type { HookName } from "../rewrite/ebpf/kernel/attachment.ts";
import { REAL_SERVER_DEVICE, VIPS } from "./layout.ts";

/** The datapath that the lab asks for; `hook` only for ebpf. */
export interface LabDatapath {
	readonly datapath: DatapathName | "auto";
	readonly hook?: HookName;
}

/**
 * True if the rules run at XDP. A packet from another namespace may lack its checksum, which XDP cannot see, so in
 * such a lab the client completes its checksums, as a NIC does, and the real servers accept that.
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
 * Where the rules go. The document of iptables-daddr uses mangle INPUT. A program at an interface sees a packet
 * before the kernel has decided whether it is input, which corresponds to raw PREROUTING.
 */
function placeOf({ datapath }: LabDatapath): { table: string; chain: string; device: readonly string[] } {
	return datapath === "ebpf"
		? { table: "raw", chain: "PREROUTING", device: ["-i", REAL_SERVER_DEVICE] }
		: { table: "mangle", chain: "INPUT", device: [] };
}

/** One rule for each VIP: from DSCP to destination. */
export function addCommands(choice: LabDatapath): RuleCommand[] {
	const { table, chain, device } = placeOf(choice);
	return VIPS.map(({ vip, dscp }) => {
		const match = [...device, "-m", "dscp", "--dscp", String(dscp)];
		const target = ["-j", "DADDR", `--set-daddr=${vip.text}`];
		return { program: PROGRAM[vip.family], args: ["-t", table, "-A", chain, ...match, ...target] };
	});
}

/** Deletes all of them again. */
export function flushCommands(choice: LabDatapath): RuleCommand[] {
	const { table, chain } = placeOf(choice);
	return Object.values(PROGRAM).map((program) => ({ program, args: ["-t", table, "-F", chain] }));
}

/** The environment that makes the rule commands choose this datapath. */
export function datapathEnvironment(choice: LabDatapath): Record<string, string> {
	const { datapath, hook } = choice;
	return {
		...(datapath === "auto" ? {} : { L3DSR_DATAPATH: datapath }),
		...(hook === undefined ? {} : { L3DSR_HOOK: hook }),
		...(needsCompleteChecksums(choice) ? { L3DSR_OPEN_CHECKSUMS: "accept" } : {}),
	};
}
