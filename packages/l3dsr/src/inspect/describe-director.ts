/** The plan of a director as text, one line for each action. */
import type {
	DirectorPlan,
	PlannedRealChange,
	PlannedServiceChange,
	RealUse,
} from "../model/director-plan.ts";
import { serviceText } from "../plan/director-drift.ts";

export function describeDirector({
	action,
	attached,
	detached,
	services,
	hops,
	drainsOver,
}: DirectorPlan): string[] {
	const all = services.flatMap((service) => describeService(service));
	return [
		...attached.map(
			(one) =>
				`director: ${one.replaces ? "replace the program at" : "attach to"} ${placeText(one)}${
					one.behind.length === 0 ? "" : `, in front of ${one.behind.join(", ")}`
				}`,
		),
		// If the director stops, its services are not listed one by one.
		...(action === "stop" ? [] : all),
		...detached.map((one) => `director: detach from ${placeText(one)}`),
		...(drainsOver === 0
			? []
			: [`director: end the transition of ${count(drainsOver, "service")}, whose drain is over`]),
		...(hops === 0 ? [] : [`director: write ${count(hops, "new next hop")}`]),
	];
}

function describeService(service: PlannedServiceChange): string[] {
	const { change, pool, reals, moved, dscp, affinity } = service;
	const name = serviceText(service);
	if (change === "gone") return [`director: stop directing ${name}`];
	if (change === "new") {
		const serving = reals.filter(({ to }) => to === "serving").length;
		return [
			`director: direct ${name} to pool ${pool}, ${serving} of ${count(reals.length, "real server")} in use`,
		];
	}
	const head = `director: ${name}`;
	return [
		...reals.map((real) => `${head}: ${describeReal(real)}`),
		...(dscp === undefined ? [] : [`${head}: mark packets with DSCP ${dscp}`]),
		...(affinity === undefined ? [] : [`${head}: choose by ${affinity}, which moves established flows`]),
		...(moved === 0 ? [] : [`${head}: ${movedText(service)}`]),
	];
}

function describeReal({ name, address, from, to }: PlannedRealChange): string {
	const who = name === address.text ? name : `${name} (${address.text})`;
	if (to === undefined) return `remove ${who}`;
	if (from === undefined) return to === "serving" ? `add ${who}` : `add ${who}, ${ADDED[to]}`;
	if (from === to) return `note the health of ${who}`;
	if (to === "draining") return `drain ${who}`;
	if (to === "starting") return `send new flows to ${who} when its first check succeeds`;
	return to === "serving" ? `send new flows to ${who}` : `send nothing to ${who}`;
}

const ADDED: Readonly<Record<Exclude<RealUse, "serving">, string>> = {
	draining: "draining",
	starting: "which gets flows when its first check succeeds",
	down: "down",
};

/** `4096 of 65537 slots move (6.3%), their flows stay for 15m`. */
function movedText({ moved, lost, slots, drainMs }: PlannedServiceChange): string {
	const head = `${moved} of ${slots} slots move (${((100 * moved) / slots).toFixed(1)}%)`;
	const stay = `stay for ${durationText(drainMs)}`;
	if (lost === 0) return `${head}, their flows ${stay}`;
	if (lost === moved) return `${head}, their flows are lost`;
	return `${head}, the flows of ${lost} are lost and those of ${moved - lost} ${stay}`;
}

/** As in fleet.yaml: `15m`, `90s`, `100ms`. */
function durationText(ms: number): string {
	const units = [
		["h", 3_600_000],
		["m", 60_000],
		["s", 1000],
	] as const;
	const unit = units.find(([, size]) => ms >= size && ms % size === 0);
	return unit === undefined ? `${Math.round(ms)}ms` : `${ms / unit[1]}${unit[0]}`;
}

function placeText({ interface: on, hook }: { readonly interface: string; readonly hook: string }): string {
	return `${on} (${hook})`;
}

function count(number: number, noun: string): string {
	return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
