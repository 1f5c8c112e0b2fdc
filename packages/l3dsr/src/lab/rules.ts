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

/** Before connection tracking, which then sees whole connections. */
const TABLE = "raw";
const CHAIN = "PREROUTING";

/**
 * One rule for each VIP: from DSCP to destination. On nftables as README recommends, only for packets to the host
 * itself; on eBPF, a rule names its interface, and a program cannot ask the routing table.
 */
export function addCommands({ datapath }: LabDatapath): RuleCommand[] {
	const where = datapath === "ebpf" ? ["-i", REAL_SERVER_DEVICE] : [];
	const which = datapath === "ebpf" ? [] : ["-m", "addrtype", "--dst-type", "LOCAL"];
	return VIPS.map(({ vip, dscp }) => {
		const match = [...where, "-m", "dscp", "--dscp", String(dscp), ...which];
		const target = ["-j", "DADDR", `--set-daddr=${vip.text}`];
		return { program: PROGRAM[vip.family], args: ["-t", TABLE, "-A", CHAIN, ...match, ...target] };
	});
}

/** Deletes all of them again. */
export function flushCommands(): RuleCommand[] {
	return Object.values(PROGRAM).map((program) => ({ program, args: ["-t", TABLE, "-F", CHAIN] }));
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
