/** The module that l3dsr replaces, loaded at the same time: each rewrites what the other has rewritten. */
import { OF_LEGACY } from "../legacy-rules.ts";
import type { Check, CheckFinding } from "./check.ts";

const MODULES = ["xt_DADDR", "ipt_DADDR", "ip6t_DADDR"];

export const checkOldModule: Check = ({ facts }) => {
	const rules = facts.moduleRules.map(
		(place): CheckFinding => ({
			check: "old-module",
			severity: "error",
			message: `${place} has a rule of the DADDR kernel module, which rewrites in addition to l3dsr`,
			remedy: place.includes(OF_LEGACY)
				? "import them with l3dsr import, from iptables-legacy-save; then remove them with iptables-legacy -D"
				: "import them with l3dsr import, from iptables-save; then remove them with iptables -D",
		}),
	);
	if (rules.length > 0) return rules;
	const used = MODULES.filter((name) => (facts.modules.get(name) ?? 0) > 0);
	if (used.length > 0) {
		// Rules in other network namespaces, or in tables of iptables-legacy that could not be read.
		return used.map((name) => ({
			check: "old-module",
			severity: "warning",
			message: `kernel module ${name} is loaded and in use (${facts.modules.get(name)}): its rules rewrite in addition to l3dsr`,
			remedy:
				"find them (iptables-legacy-save, in each network namespace), import them with l3dsr import, and remove them",
		}));
	}
	return MODULES.filter((name) => facts.modules.has(name)).map((name) => ({
		check: "old-module",
		severity: "note",
		message: `kernel module ${name} is loaded and has no rules: it is no longer needed`,
		remedy: `modprobe -r ${name}`,
	}));
};
