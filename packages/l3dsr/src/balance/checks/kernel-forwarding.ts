/** Checks what the kernel does with rewritten packets that the program does not send itself. */
import type { Address } from "@l3dsr/packet";
import type { CheckFinding } from "../../host/checks/check.ts";
import { type DirectorCheck, familiesOf, kernelForwards, ownInterfaces } from "./input.ts";
import { list, realsByKernel } from "./ways.ts";

export const checkForwarding: DirectorCheck = (input) => {
	const { fleet, facts } = input;
	const families = familiesOf(fleet);
	const byKernel = realsByKernel(input);
	const lostOf = (family: Address["family"]): Pick<CheckFinding, "severity"> & { readonly lost: string } => {
		if (kernelForwards(input))
			return { severity: "error", lost: "packets for the VIPs are rewritten and then dropped" };
		const reals = byKernel.filter(({ address }) => address.family === family);
		const places = new Set(reals.map(({ way }) => (way.to === "link" ? way.interface : "")));
		if (reals.length === 0)
			return {
				severity: "warning",
				lost: "packets for real servers whose next hop is currently unknown are dropped",
			};
		return {
			severity: "error",
			lost: `packets for ${list(reals.map(({ text }) => text))} are rewritten and then dropped, because the program does not run on ${[...places].join(", ")}`,
		};
	};
	const ipv4 = ownInterfaces(input).filter(({ name }) => !facts.forwardsIpv4.has(name));
	const findings: CheckFinding[] = [];
	if (families.has("ipv4") && ipv4.length > 0) {
		const names = ipv4.map(({ name }) => name);
		const { severity, lost } = lostOf("ipv4");
		findings.push({
			check: "forwarding",
			severity,
			message: `this host does not forward IPv4 that arrives on ${names.join(", ")}: ${lost}`,
			remedy: names.map((name) => `sysctl -w net.ipv4.conf.${name}.forwarding=1`).join("; "),
		});
	}
	if (families.has("ipv6") && !facts.forwardsIpv6) {
		const { severity, lost } = lostOf("ipv6");
		findings.push({
			check: "forwarding",
			severity,
			message: `this host does not forward IPv6: ${lost}`,
			remedy:
				"sysctl -w net.ipv6.conf.all.forwarding=1 (an interface then ignores router advertisements unless accept_ra is 2)",
		});
	}
	return findings;
};

/**
 * The source of a forwarded packet is a client at any address. Strict reverse path filtering drops it unless the
 * route back uses the same interface.
 */
export const checkReversePath: DirectorCheck = (input) => {
	if (!familiesOf(input.fleet).has("ipv4")) return [];
	const always = kernelForwards(input);
	return ownInterfaces(input)
		.filter(({ rpFilter }) => rpFilter === 1)
		.map(({ name }) => ({
			check: "reverse-path",
			severity: always ? "warning" : "note",
			message: always
				? `${name} has strict reverse path filtering (rp_filter 1): packets of clients that are not routed back through ${name} are dropped after they were rewritten`
				: `${name} has strict reverse path filtering (rp_filter 1): packets that the program passes to the kernel are dropped if their clients are not routed back through ${name}`,
			remedy: `sysctl -w net.ipv4.conf.${name}.rp_filter=2 (loose); net.ipv4.conf.all.rp_filter must not be 1 either`,
		}));
};

/**
 * A one-armed director sends packets out of the interface they came in on, so the kernel would tell the router to
 * send them to the real server directly.
 */
export const checkRedirects: DirectorCheck = (input) => {
	if (!kernelForwards(input) || !familiesOf(input.fleet).has("ipv4")) return [];
	const out = new Set([...input.facts.ways.values()].map((way) => (way.to === "link" ? way.interface : "")));
	return ownInterfaces(input)
		.filter(({ name }) => out.has(name) && input.facts.sendsRedirects.has(name))
		.map(({ name }) => ({
			check: "redirects",
			severity: "warning",
			message: `the kernel sends ICMP redirects for packets that leave by ${name}, the interface on which they arrived, as packets for the VIPs do: routers may learn a wrong route`,
			remedy: `sysctl -w net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.${name}.send_redirects=0`,
		}));
};

/** Every netfilter hook comes after XDP and tc ingress. */
export const checkDscpAfterwards: DirectorCheck = (input) => {
	const always = kernelForwards(input);
	const families = familiesOf(input.fleet);
	return input.facts.dscpWriters
		.filter(({ family }) => family === undefined || families.has(family))
		.filter(({ hook }) => hook !== "input" && hook !== "output")
		.map(({ place, hook }) => ({
			check: "dscp-remarked",
			severity: always ? "error" : "warning",
			message: `${place} (${hook}) writes DSCP after the director: ${always ? "real servers do not see the codes" : "packets that the kernel sends for the director may lose their code"}`,
			remedy: "exclude packets for real servers from that rule",
		}));
};
