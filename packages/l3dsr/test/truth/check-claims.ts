/** Compares the findings of `l3dsr check` for a host with real traffic. */
import { parseAddress, prefixContains, prefixOf } from "@l3dsr/packet";
import type { Card, Host } from "./host.ts";
import type { Outcome } from "./peer.ts";
import type { Family } from "./stage.ts";

export interface CheckFinding {
	readonly check: string;
	readonly severity: "error" | "warning" | "note";
	readonly message: string;
}

export interface CheckRecord {
	readonly findings: readonly CheckFinding[];
	readonly questions: readonly { readonly about: string; readonly question: string }[];
}

/** A client's request to a VIP through the director, and its outcome. */
export interface Flow {
	readonly family: Family;
	readonly client: string;
	/** The server's interface on which it arrived. */
	readonly card: Card;
	readonly protocol: "tcp" | "udp";
	readonly outcome: Outcome;
}

/** The observations of real packets. */
export interface Observed {
	readonly flows: readonly Flow[];
	/** VIPs that some host answers for on the segment of eth0. */
	readonly claimed: readonly string[];
	/** During these flows. */
	readonly reversePathDrops: number;
}

const SERVICE: Readonly<Record<Family, string>> = { ipv4: "four", ipv6: "six" };
/** Clients in the form in which a finding lists them: `203.0.113.7 (in 0.0.0.0/0)`. */
const LISTED = /([0-9a-f.:]+) \(in ([0-9a-f.:]+)\/(\d+)\)/g;

/** Clients that the findings name, except those that need neighbour discovery on the segments. */
export function clientsNamed({ findings }: CheckRecord): string[] {
	return findings
		.flatMap(({ message }) => [...message.matchAll(LISTED)].flatMap(([, address = ""]) => address))
		.filter((address) => !/^2001:db8:[12]:/.test(address));
}

/** False findings, and failures without a finding. */
export function falseOf(host: Host, said: CheckRecord, observed: Observed): string[] {
	const unsaid = observed.flows.filter(
		(flow) =>
			flow.outcome !== "answered" &&
			!isExcused(host, said, flow) &&
			!said.findings.some((finding) => isAbout(host, finding, flow, "prefix")),
	);
	return [
		...said.findings.flatMap((finding) => {
			const against = refutation(host, finding, observed);
			return against === undefined ? [] : [`"${finding.message}", but ${against}`];
		}),
		...unsaid.map((flow) => `nothing is said of ${textOf(flow)}`),
	];
}

function textOf({ family, client, card, protocol, outcome }: Flow): string {
	return `${protocol} over ${family} from ${client} by ${card}: ${outcome}`;
}

/** The evidence against a finding; undefined if there is none. */
function refutation(host: Host, finding: CheckFinding, observed: Observed): string | undefined {
	const { check, severity, message } = finding;
	const flows = observed.flows.filter((flow) => isAbout(host, finding, flow, "address"));
	const passed = flows.find(({ outcome }) => outcome === "answered");
	const answered = passed === undefined ? undefined : textOf(passed);
	switch (check) {
		case "vip-on-loopback":
		case "interfaces":
		case "way-back":
			return severity === "note" ? undefined : answered;
		case "dscp-remarked":
			return answered;
		case "listeners":
			return message.includes("unless a NAT rule") ? undefined : answered;
		case "reverse-path": {
			if (message.includes("unless a NAT rule")) return undefined;
			// Packets that are dropped earlier, or not for this host, do not reach the filter.
			const comes =
				(host.change === "none" || host.change === "guard") &&
				["none", "drop", "drop-answers", "invalid", "legacy-drop"].includes(host.firewall);
			const counts = message.includes("rp_filter") && flows.length > 0 && comes;
			const uncounted = counts && observed.reversePathDrops === 0 ? "the kernel has counted none" : undefined;
			return answered ?? uncounted;
		}
		case "drift":
			// The rules of other interfaces may be in order.
			return severity === "error" && flows.length > 0 && flows.every(({ outcome }) => outcome === "answered")
				? "all clients are answered"
				: undefined;
		case "arp": {
			const claims = observed.claimed.some((vip) => message.includes(vip));
			// A neighbour advertisement has the VIP as its source, and these rules drop it.
			if (host.firewall === "drop-answers" && message.includes("neighbour")) return undefined;
			if (message.includes("nobody can resolve it")) return claims ? "somebody answers for it" : undefined;
			return claims ? undefined : "nobody answers for it";
		}
		default:
			return undefined;
	}
}

/** Whether a finding is about this flow; a client is named by its own address or its network. */
function isAbout(
	{ firewall, table }: Host,
	{ check, message }: CheckFinding,
	flow: Flow,
	by: "address" | "prefix",
): boolean {
	const ofService = message.includes(`${SERVICE[flow.family]} (`);
	switch (check) {
		case "vip-on-loopback":
			return ofService && !message.includes("treats every address");
		case "listeners": {
			const protocols = [...message.matchAll(/(tcp|udp) port/g)].map(([, name]) => name);
			return ofService && (protocols.length === 0 || protocols.includes(flow.protocol));
		}
		case "drift":
			return message.startsWith("lo is down") || message.includes(`of ${SERVICE[flow.family]} `);
		case "interfaces":
			return message.startsWith(`${flow.card} has the address`);
		case "dscp-remarked":
			return firewall === "remark";
		case "connection-tracking":
			return table === "mangle" && firewall === "invalid";
		case "reverse-path":
			return message.includes(`arrive on ${flow.card}`) && isListed(message, flow, by);
		case "way-back":
			return isListed(message.split("; routes lead to")[0] ?? "", flow, by);
		default:
			return false;
	}
}

function isListed(message: string, { client, family }: Flow, by: "address" | "prefix"): boolean {
	const address = parseAddress(client);
	return [...message.matchAll(LISTED)].some(([, named, prefix = "", length]) => {
		if (by === "address") return named === client;
		const parsed = parseAddress(prefix);
		return (
			address !== undefined &&
			parsed?.family === family &&
			prefixContains(prefixOf(parsed, Number(length)), address)
		);
	});
}

/** Failures about which check asks a question, or which it does not claim to detect. */
function isExcused(host: Host, { questions }: CheckRecord, { family, protocol }: Flow): boolean {
	const asks = (about: string) => questions.some((one) => one.about === about);
	if (["drop", "drop-answers", "legacy-drop"].includes(host.firewall)) return asks("filters");
	if (host.firewall === "redirect") return asks("redirects");
	// A socket does not show whether its program uses IP_PKTINFO.
	if (protocol === "udp" && ["any", "both", "ipv6"].includes(host.udp)) return true;
	// Without ports, a socket at any port belongs to the service; without a protocol, one of either protocol.
	const hears = (["tcp", "udp"] as const).some((one) => !["none", "real"].includes(host[one]));
	const silent =
		["none", "real", "other"].includes(host[protocol]) || (host[protocol] === "ipv6" && family === "ipv4");
	if (host.ports === "all" && hears && silent) return true;
	if (host.ports === "port" && silent && hears) return true;
	return family === "ipv4" && asks("routing-rules");
}
