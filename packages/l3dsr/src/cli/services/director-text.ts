/** The director in the record of `status`, as text. */
import type {
	DirectedServiceRecord,
	DirectorRecord,
	RealRecord,
} from "../../inspect/status/director-record.ts";
import type { Style } from "../style.ts";
import { formatTable } from "../table.ts";
import { rateCells } from "./rate-cells.ts";

export function directorText(director: DirectorRecord, style: Style, watching: boolean): string {
	const { programs, forward, flows, services, reasons } = director;
	const places = programs.map(({ interface: on, hook }) => `${on} (${hook})`).join(", ");
	const counted = reasons.filter(({ reason, packets }) => packets > 0n && !EXPECTED.has(reason));
	return [
		`director: ${places === "" ? "not running" : `${places}, forward: ${forward}, flows: ${flows}`}\n`,
		...services.map((service) => serviceText(service, style, watching)),
		...counted.map(({ reason, outcome, meaning, packets }) => {
			const count = packets === 1n ? "1 packet" : `${packets} packets`;
			return `${OUTCOMES[outcome]} ${count}: ${meaning} (${reason})\n`;
		}),
	].join("");
}

/** Counters that grow on every host with other traffic. */
const EXPECTED: ReadonlySet<string> = new Set(["not-ip", "other-host", "not-vip", "vlan"]);

const OUTCOMES = { pass: "passed to the kernel:", drop: "dropped:", answer: "answered:" } as const;

function serviceText(service: DirectedServiceRecord, style: Style, watching: boolean): string {
	const { name, vip, protocol, port, dscp, pool, state, transition, reals } = service;
	// A real server with weight 0 is up, and takes none.
	const serving = reals.filter(({ slots }) => slots > 0).length;
	const configured = reals.filter((one) => one.state !== "leaving").length;
	const title = `${name === vip ? vip : `${name} ${vip}`} ${protocol}/${port}`;
	const inUse = `${serving} of ${configured} real servers take new flows`;
	const facts = [`DSCP ${dscp}`, ...(pool === "" ? [] : [`pool ${pool}`]), inUse];
	const note = STATES[state];
	return [
		`${style.bold(title)}: ${facts.join(", ")}${note === undefined ? "" : style.bad(`; ${note}`)}\n`,
		...(transition === null
			? []
			: [
					`  in transition for ${transition.seconds} s: ${transition.slots} slots remember the flows of their previous real server\n`,
				]),
		...(reals.length === 0 ? [] : [realsText(reals, watching)]),
		...reals.flatMap(({ name: real, reason }) => (reason === undefined ? [] : [`  ${real}: ${reason}\n`])),
	].join("");
}

const STATES: Readonly<Record<DirectedServiceRecord["state"], string | undefined>> = {
	up: undefined,
	floor: "fewer are healthy than floor allows, so all are used",
	down: "down: nobody takes new flows",
};

function realsText(reals: readonly RealRecord[], watching: boolean): string {
	const counters = watching ? ["packets/s", "bit/s"] : ["packets", "bytes"];
	return formatTable(
		["real", "address", "state", "weight", "share", ...counters],
		reals.map((real) => [
			real.name,
			real.address,
			real.state,
			String(real.weight),
			`${(100 * real.share).toFixed(1)}%`,
			...(watching ? rateCells(real.rate) : [String(real.packets), String(real.bytes)]),
		]),
		{ indent: "  ", right: [3, 4, 5, 6] },
	);
}
