/** The shape of one check: facts in, findings out. */
import { type Family, prefixText } from "@l3dsr/packet";
import type { Configuration } from "../../model/configuration.ts";
import type { Finding } from "../../model/finding.ts";
import type { Service } from "../../model/service.ts";
import type { VipGuard } from "../../model/vip-guard.ts";
import type { HostFacts, InterfaceFacts } from "../facts.ts";
import type { PathFacts } from "../route-facts.ts";

/** `error`: packets are lost or misdirected; `warning`: they may be; `note`: good to know. */
export type Severity = "error" | "warning" | "note";

export interface CheckFinding {
	/** The check that found it. */
	readonly check: string;
	readonly severity: Severity;
	/** A whole sentence, lower case, no full stop: the finding and its effect. */
	readonly message: string;
	readonly remedy: string;
}

export interface CheckInput {
	/** With the services that are possible on this host. */
	readonly configuration: Configuration;
	/** The services that are not possible on this host, and why. */
	readonly stopped: readonly { readonly service: Service; readonly reason: string }[];
	/** Why up would refuse to put the services on the configured datapath. */
	readonly refused?: { readonly message: string; readonly hint?: string };
	/** Where the host differs from the configuration; see plan/drift. */
	readonly drift: readonly Finding[];
	/** Whether a part of the services is on this host: rules, VIPs or the guard. */
	readonly started: boolean;
	/** Which services up would silence, if it refuses for that reason. */
	readonly silencing?: string;
	/** Chains of hand-written rules that run after connection tracking: `mangle INPUT`. */
	readonly tracked: readonly string[];
	/** Families whose services' rules run, or would run, in netfilter, after the rules of others. */
	readonly inNetfilter: ReadonlySet<Family>;
	readonly facts: HostFacts;
	/** The VIP guard as it is in the kernel. */
	readonly guard: VipGuard | undefined;
	/** Titles (see titleOf) of services whose rules are in force. */
	readonly ruled: ReadonlySet<string>;
	/** Interfaces that the rules in force name; undefined if a rule names none, and so applies to all. */
	readonly served: ReadonlySet<string> | undefined;
}

const ORDER: readonly Severity[] = ["error", "warning", "note"];

/** For sorting: errors first. */
export function bySeverity(a: CheckFinding, b: CheckFinding): number {
	return ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity);
}

export type Check = (input: CheckInput) => CheckFinding[];

/** `web (192.0.2.10)`, or only the VIP if that is its name. */
export function titleOf({ name, vip }: Pick<Service, "name" | "vip">): string {
	return name === vip.text ? vip.text : `${name} (${vip.text})`;
}

export function loopbackOf({ interfaces }: HostFacts): InterfaceFacts | undefined {
	return interfaces.find(({ name }) => name === "lo");
}

/** How many things of one kind are named. */
const NAMED = 3;

/** `a, b, c and 4 more`. */
export function listed(texts: readonly string[]): string {
	const rest = texts.length - NAMED;
	return `${texts.slice(0, NAMED).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

/** `8.9.1.7 (in 0.0.0.0/0), 10.1.0.7 (in 10.1.0.0/16)`: a client for each route. */
export function clientsText(paths: readonly PathFacts[]): string {
	const texts = paths.map(({ client: { address, prefix } }) => `${address.text} (in ${prefixText(prefix)})`);
	return listed([...new Set(texts)]);
}

/** Interfaces with addresses of this host, apart from VIPs. */
export function realInterfaces({ configuration, facts }: CheckInput): InterfaceFacts[] {
	const vips = new Set(configuration.services.map(({ vip }) => vip.text));
	return facts.interfaces.filter(
		({ name, up, addresses }) =>
			name !== "lo" &&
			up &&
			addresses.some(({ scope, address }) => scope === "global" && !vips.has(address.text)),
	);
}
