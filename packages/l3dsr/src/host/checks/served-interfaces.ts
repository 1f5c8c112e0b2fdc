/** A packet that arrives on an interface without a rule is not rewritten. */
import { absentInterfaces } from "../../model/absent-interfaces.ts";
import { isNameForRules } from "../../model/interface-name.ts";
import { type Check, realInterfaces } from "./check.ts";

export const checkServedInterfaces: Check = (input) => {
	const { served, configuration, facts } = input;
	const present = facts.interfaces.map(({ name }) => name).filter((name) => name !== "lo");
	const absent = absentInterfaces(configuration, facts.interfaces).map((name) => ({
		check: "interfaces",
		severity: "error" as const,
		message: `the configuration names interface ${name}, which this host does not have`,
		remedy: `${present.length === 0 ? "" : `name one of ${present.join(", ")}, or `}leave interfaces out`,
	}));
	if (served === undefined) return absent;
	const unserved = realInterfaces(input)
		.filter(({ name }) => !served.has(name))
		.map(({ name, addresses }) => ({
			check: "interfaces",
			severity: "warning" as const,
			message: `${name} has the address ${addresses.find(({ scope }) => scope === "global")?.address.text ?? ""} and no rule of a service: packets that directors send there are not rewritten`,
			remedy: !isNameForRules(name)
				? "a rule cannot contain this name: rename the interface (ip link set), or set datapath: nft"
				: `l3dsr up, or name ${name} in interfaces; ignore this if no director uses it`,
		}));
	return [...absent, ...unserved];
};
