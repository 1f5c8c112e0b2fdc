/** The options of the DADDR target: how to read each, and to print it in -L and -S. */
import { type Family, isPort, MAX_PORT, parseAddress, parseIpv4, parseIpv6 } from "@l3dsr/packet";
import type { DaddrTarget } from "../../model/rule.ts";
import { parseStrtoul } from "../numbers.ts";
import type { Problems } from "../problems.ts";
import type { Given, OptionSpec } from "./option.ts";
import type { Word } from "./words.ts";

export const TARGET_NAME = "DADDR";

export const TARGET_OPTIONS = {
	daddr: {
		long: ["set-daddr"],
		argument: "address",
		help: "new destination address, e.g. the VIP; required",
	},
	dport: {
		long: ["set-dport"],
		argument: "port",
		help: "new destination port as well, in packets that carry one",
	},
	clearDscp: {
		long: ["clear-dscp"],
		help: "DSCP becomes 0, so that answers which echo it do not carry it back",
	},
	icmpErrors: {
		long: ["icmp-errors"],
		help: "also ICMP errors that quote an answer of a flow of this rule",
	},
	laterFragments: {
		long: ["later-fragments"],
		help: "also later fragments, which carry no port",
	},
} as const satisfies Record<keyof DaddrTarget, OptionSpec>;

const FAMILY_NAME = { ipv4: "IPv4", ipv6: "IPv6" } as const;
const COMMAND = { ipv4: "iptables-daddr", ipv6: "ip6tables-daddr" } as const;

/** Undefined if there is a fault, which has then been reported. `at`: the word that names the target. */
export function parseTarget(
	given: ReadonlyMap<OptionSpec, Given>,
	at: Word,
	family: Family,
	problems: Problems,
): DaddrTarget | undefined {
	const daddr = given.get(TARGET_OPTIONS.daddr)?.value;
	const dport = given.get(TARGET_OPTIONS.dport)?.value;
	if (daddr === undefined) {
		const message = `${TARGET_NAME} target: Parameter --set-daddr is required`;
		problems.add(
			"RULE_MISSING",
			message,
			at.position,
			`say what to rewrite to: -j ${TARGET_NAME} --set-daddr ADDRESS`,
		);
	}
	const address = daddr && (family === "ipv4" ? parseIpv4(daddr.text) : parseIpv6(daddr.text));
	if (daddr !== undefined && address === undefined) {
		const message = `Bad ${FAMILY_NAME[family]} address \`${daddr.text}'`;
		problems.add("RULE_BAD_VALUE", message, daddr.position, addressHint(daddr.text, family));
	}
	const number = dport && parseStrtoul(dport.text);
	const port = number !== undefined && number > 0 && isPort(number) ? number : undefined;
	if (dport !== undefined && port === undefined) {
		const message = `${TARGET_NAME}: bad value for option "--set-dport", or out of range (1-${MAX_PORT}).`;
		problems.add("RULE_BAD_VALUE", message, dport.position);
		return undefined;
	}
	if (address === undefined) return undefined;
	return {
		daddr: address,
		...(port === undefined ? {} : { dport: port }),
		clearDscp: given.has(TARGET_OPTIONS.clearDscp),
		...(given.has(TARGET_OPTIONS.icmpErrors) ? { icmpErrors: true } : {}),
		...(given.has(TARGET_OPTIONS.laterFragments) ? { laterFragments: true } : {}),
	};
}

function addressHint(text: string, family: Family): string {
	const other = parseAddress(text);
	if (other !== undefined)
		return `this is an ${FAMILY_NAME[other.family]} address: use ${COMMAND[other.family]}`;
	if (text.includes("/")) return "one address, not a prefix";
	if (/^[\d.]+$/.test(text)) return "an IPv4 address is four decimal numbers of 0-255 without leading zeros";
	if (family === "ipv6" && text.includes(":")) return "an IPv6 address as in RFC 4291, without a zone";
	return "host names are not looked up: write the address";
}

/** `--set-daddr 72.30.38.140`, as in -S. */
export function saveTarget(target: DaddrTarget): string {
	const port = target.dport === undefined ? "" : ` --set-dport ${target.dport}`;
	const flags = flagsOf(target).map((flag) => ` --${flag}`);
	return `--set-daddr ${target.daddr.text}${port}${flags.join("")}`;
}

/** `DADDR set 72.30.38.140`, as at the end of a line of -L. */
export function listTarget(target: DaddrTarget): string {
	const port = target.dport === undefined ? "" : ` dport ${target.dport}`;
	const flags = flagsOf(target).map((flag) => ` ${flag}`);
	return `${TARGET_NAME} set ${target.daddr.text}${port}${flags.join("")}`;
}

function flagsOf(target: DaddrTarget): string[] {
	return (["clearDscp", "icmpErrors", "laterFragments"] as const)
		.filter((key) => target[key] === true)
		.flatMap((key) => TARGET_OPTIONS[key].long);
}
