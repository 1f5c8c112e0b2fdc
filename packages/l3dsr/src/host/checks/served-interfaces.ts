/** A packet that comes in where no rule looks is not rewritten. */
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
			message: `${name} has the address ${addresses.find(({ scope }) => scope === "global")?.address.text ?? ""} and no rule of a service: what directors send there is not rewritten`,
			remedy: !isNameForRules(name)
				? "rules cannot hold this name: rename the interface (ip link set), or set datapath: nft"
				: `l3dsr up, or name ${name} in interfaces; if no director uses it, all is well`,
		}));
	return [...absent, ...unserved];
};
