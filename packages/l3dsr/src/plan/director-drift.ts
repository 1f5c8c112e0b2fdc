/** The drift of a director. Pure. */
import type { DirectorPlan, PlannedServiceChange } from "../model/director-plan.ts";
import type { Finding } from "../model/finding.ts";

/** Changed next hops and ended drains are not drift: updating them is routine. */
export function directorDrift({ action, attached, detached, services }: DirectorPlan): Finding[] {
	const finding = (object: string, problem: string, kind: Finding["kind"] = "director"): Finding => ({
		kind,
		object,
		problem,
	});
	if (action === "stop") return [finding("the director", "runs, but the configuration has none")];
	if (action === "start") return [finding("the director", "does not run", "director-missing")];
	return [
		...attached
			// If services are listed, they already cover a program that is replaced.
			.filter(({ replaces, behind }) => !replaces || behind.length > 0 || services.length === 0)
			.map((one) => {
				const at = `the director at ${one.interface}`;
				if (!one.replaces) return finding(at, "is not there", "director-missing");
				if (one.behind.length === 0) return finding(at, "was started with other settings");
				return finding(at, `runs behind ${one.behind.join(", ")}, which may withhold packets from it`);
			}),
		...detached.map((one) =>
			finding(`the director at ${one.interface} (${one.hook})`, "does not belong there"),
		),
		...services.map((service) => finding(serviceText(service), problemOf(service))),
	];
}

/** `web 192.0.2.10 tcp/80`; without the name if the fleet no longer has it. */
export function serviceText({ vip, address, protocol, port }: PlannedServiceChange): string {
	const place = `${address.text} ${protocol}/${port === 0 ? "any" : port}`;
	return vip === undefined ? place : `${vip} ${place}`;
}

function problemOf({ change, moved, slots, reals }: PlannedServiceChange): string {
	if (change === "new") return "is not directed";
	if (change === "gone") return "is directed, but is not in the fleet";
	const names = reals.map(({ name, to }) => `${name} should be ${to ?? "gone"}`);
	if (names.length > 0) return `differs: ${names.join(", ")}`;
	return moved > 0 ? `has ${moved} of ${slots} slots assigned to other real servers` : "has other settings";
}
