/** The rules on the real servers, as the commands that a person would type there. */
import type { DatapathName } from "../datapath/datapath.ts";
import type { Family } from "../model/address.ts";
import { REAL_SERVER_DEVICE, VIPS } from "./layout.ts";

/** Which datapath the lab asks for; `hook` only for ebpf. */
export interface DatapathChoice {
	readonly datapath: DatapathName | "auto";
	readonly hook?: "tcx" | "clsact" | "xdp";
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
function placeOf({ datapath }: DatapathChoice): { table: string; chain: string; device: readonly string[] } {
	return datapath === "ebpf"
		? { table: "raw", chain: "PREROUTING", device: ["-i", REAL_SERVER_DEVICE] }
		: { table: "mangle", chain: "INPUT", device: [] };
}

/** One rule for each VIP: DSCP to destination. */
export function addCommands(choice: DatapathChoice): RuleCommand[] {
	const { table, chain, device } = placeOf(choice);
	return VIPS.map(({ vip, dscp }) => {
		const match = [...device, "-m", "dscp", "--dscp", String(dscp)];
		const target = ["-j", "DADDR", `--set-daddr=${vip.text}`];
		return { program: PROGRAM[vip.family], args: ["-t", table, "-A", chain, ...match, ...target] };
	});
}

/** Takes all of them away again. */
export function flushCommands(choice: DatapathChoice): RuleCommand[] {
	const { table, chain } = placeOf(choice);
	return Object.values(PROGRAM).map((program) => ({ program, args: ["-t", table, "-F", chain] }));
}

/** What the rule commands are to choose, told by their environment. */
export function datapathEnvironment({ datapath, hook }: DatapathChoice): Record<string, string> {
	return {
		...(datapath === "auto" ? {} : { L3DSR_DATAPATH: datapath }),
		...(hook === undefined ? {} : { L3DSR_HOOK: hook }),
	};
}
