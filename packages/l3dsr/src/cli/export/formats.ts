/** The formats in which the VIP table can be printed. */
import { nftScript } from "../../rewrite/nft/compile/script.ts";
import { printA10 } from "../../syntax/export/a10.ts";
import { printBrocadeAdx } from "../../syntax/export/brocade-adx.ts";
import { printJson, printYaml } from "../../syntax/export/configuration.ts";
import { printDsrConf } from "../../syntax/export/dsr-conf.ts";
import { printIproute2 } from "../../syntax/export/iproute2.ts";
import { printIptablesSave } from "../../syntax/export/iptables-save.ts";
import { printNetscaler } from "../../syntax/export/netscaler.ts";
import { printNftDirector } from "../../syntax/export/nft-director.ts";
import type { Printer } from "../../syntax/export/vip-table.ts";
import { printVpp } from "../../syntax/export/vpp.ts";
import { didYouMean } from "../../syntax/suggest.ts";
import { usage } from "../option-values.ts";

export interface ExportFormat {
	/** For a real server, or for a director, which needs the real servers. */
	readonly side: "real server" | "director";
	/** What the format contains: services, or the rules of any chain, whether they describe a service or not. */
	readonly of?: "rules";
	readonly summary: string;
	readonly print: Printer;
}

const FORMATS: Readonly<Record<string, ExportFormat>> = {
	yaml: { side: "real server", summary: "l3dsr.yaml", print: printYaml },
	json: { side: "real server", summary: "l3dsr.yaml as JSON", print: printJson },
	"dsr.conf": { side: "real server", summary: "/etc/dsr.d/*.conf of dsrctl", print: printDsrConf },
	nft: {
		side: "real server",
		of: "rules",
		summary: "the rules, for nft -f",
		print: ({ rules, configuration }) => ({
			text: nftScript(rules),
			left: configuration.services
				.filter(({ selection }) => selection === undefined)
				.map(({ name }) => ({ what: name, why: "L2DSR has no rules" })),
		}),
	},
	"iptables-save": {
		side: "real server",
		of: "rules",
		summary: "DADDR rules of IPv4, for iptables-daddr-restore",
		print: printIptablesSave("ipv4"),
	},
	"ip6tables-save": {
		side: "real server",
		of: "rules",
		summary: "DADDR rules of IPv6, for ip6tables-daddr-restore",
		print: printIptablesSave("ipv6"),
	},
	iproute2: { side: "real server", summary: "the VIPs on lo, for ip -batch", print: printIproute2 },
	"nft-director": { side: "director", summary: "a Linux director, for nft -f", print: printNftDirector },
	vpp: { side: "director", summary: "VPP's lb plugin", print: printVpp },
	a10: { side: "director", summary: "A10 Thunder and AX", print: printA10 },
	netscaler: { side: "director", summary: "Citrix NetScaler (ADC)", print: printNetscaler },
	"brocade-adx": { side: "director", summary: "Brocade ServerIron ADX", print: printBrocadeAdx },
};

export const FORMAT_NAMES: readonly string[] = Object.keys(FORMATS);

/** `NAME  what it is`, one line each, for the help. */
export function formatsHelp(): string {
	const width = Math.max(...FORMAT_NAMES.map((name) => name.length));
	return Object.entries(FORMATS)
		.map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`)
		.join("\n");
}

/** Throws L3dsrError (USAGE) for an unknown name. */
export function formatNamed(name: string): ExportFormat {
	const format = FORMATS[name];
	if (format !== undefined && Object.hasOwn(FORMATS, name)) return format;
	throw usage(
		`there is no format ${name}`,
		didYouMean(name, FORMAT_NAMES) ?? `formats are ${FORMAT_NAMES.join(", ")}`,
	);
}
