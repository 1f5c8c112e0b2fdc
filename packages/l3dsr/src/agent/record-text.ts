/** Turns records into text for people: a headline, then one line for each finding and action. Pure. */
import { renderDiagnostic } from "../errors.ts";
import type { AgentRecord, Cause, FindingRecord, HealthChange } from "./record.ts";

/** The most lines for findings or commands; the record has all of them. */
const MOST_LINES = 20;

/** The headline comes first. Not yet safe to print: file and program names may contain any character. */
export function recordLines(record: AgentRecord): string[] {
	switch (record.kind) {
		case "started":
			return [
				`l3dsr ${record.version} applies ${record.configuration} to this host: ${servicesText(record.services)}`,
			];
		case "stopped":
			return [`stops (${record.signal}); rules, programs and VIPs stay in place`];
		case "configured": {
			const { configuration, services, steps, warnings, tookMs } = record;
			const headline =
				steps.length === 0
					? `this host matches ${configuration}: ${servicesText(services)}`
					: `applied ${configuration} to this host: ${servicesText(services)} (${durationText(tookMs)})`;
			return [headline, ...warningLines(warnings), ...doneLines(record.steps)];
		}
		case "repaired":
			return [
				`repaired in ${durationText(record.tookMs)}: ${findingsText(record.drift)}`,
				...shortened(record.drift.slice(1).map((one) => `found: ${findingText(one)}`)),
				...causeLines(record.cause),
				...warningLines(record.warnings),
				...doneLines(record.steps),
			];
		case "failed": {
			const [first, ...rest] = record.errors.flatMap((one) => renderDiagnostic(one).split("\n"));
			const attempt = record.failures === 1 ? "" : ` (${record.failures} times in a row)`;
			return [
				`the configuration cannot be applied to this host${attempt}: ${first}`,
				...rest,
				`next attempt in ${durationText(record.retryMs)}, or when something changes`,
			];
		}
		case "recovered":
			return [
				`this host matches its configuration again, after ${record.failures} failed attempt${record.failures === 1 ? "" : "s"} in ${durationText(record.failingMs)}`,
			];
		case "configuration-refused":
			return [
				`${record.configuration} cannot be used and changes nothing: the configuration read at ${record.keptSince} (${servicesText(record.keptServices)}) stays in force`,
				...record.errors.flatMap((one) => renderDiagnostic(one).split("\n")),
			];
		case "configuration-restored":
			return [
				`${record.configuration} is valid again and is the configuration in force: ${servicesText(record.services)}`,
			];
		case "contention":
			return [
				`something else changes this host back: ${record.repairs} repairs in ${durationText(record.withinMs)} of ${listText(record.subjects)}`,
				...causeLines(record.cause),
				`repairs are less frequent now, the next one in ${durationText(record.delayMs)}; let one of the two manage it`,
			];
		case "contention-over":
			return [
				`nothing has changed this host back for ${durationText(record.quietMs)}: repairs are immediate again`,
			];
		case "held":
			return [
				`leaves this host alone since ${record.by} (${record.since}): l3dsr up lets the agent manage the services again`,
			];
		case "released":
			return [`manages this host again, after ${durationText(record.heldMs)}`];
		case "health":
			return healthLines(record.changes);
		case "upkeep-failed": {
			const [first, ...rest] = record.errors.flatMap((one) => renderDiagnostic(one).split("\n"));
			return [
				`real servers cannot be managed: ${first}`,
				...rest,
				"packets still follow the director's tables; the agent tries again every second",
			];
		}
		case "upkeep-recovered":
			return [`real servers are managed again, after ${durationText(record.failingMs)}`];
	}
}

/** A single change is in the headline; for several, the headline gives their number. */
function healthLines(changes: readonly HealthChange[]): string[] {
	const [first, ...more] = changes;
	if (first === undefined) return ["nobody's health has changed"];
	if (more.length === 0) return [healthText(first)];
	const count = (healthy: boolean) => changes.filter((one) => one.healthy === healthy).length;
	const parts = [
		[count(false), "fail"],
		[count(true), "succeed"],
	] as const;
	const headline = parts
		.filter(([number]) => number > 0)
		.map(
			([number, verb]) =>
				`${number} check${number === 1 ? "" : "s"} of real servers ${number === 1 ? `${verb}s` : verb}`,
		)
		.join(", ");
	return [headline, ...shortened(changes.map(healthText))];
}

/** `front/a2 (10.1.0.12) fails its tcp check at 192.0.2.10 port 443: timeout`. */
function healthText({
	pool,
	real,
	address,
	vip,
	port,
	type,
	healthy,
	isNew,
	reason,
	previousMs,
}: HealthChange): string {
	const who = `${pool}/${real} (${address})`;
	const what = `its ${type} check at ${vip}${port === undefined ? "" : ` port ${port}`}`;
	if (healthy && isNew) return `${who} passes ${what} for the first time, and gets flows`;
	if (healthy) return `${who} passes ${what} again, after ${durationText(previousMs)}`;
	const note = isNew ? " (it is new, and gets no flows until its first success)" : "";
	return `${who} fails ${what}${reason === undefined ? "" : `: ${reason}`}${note}`;
}

function servicesText(count: number): string {
	return `${count} service${count === 1 ? "" : "s"}`;
}

/** `85 ms`, `1.4 s`, `12 min`. */
function durationText(ms: number): string {
	if (ms < 1000) return `${Math.round(ms)} ms`;
	if (ms < 120_000) return `${Number((ms / 1000).toFixed(1))} s`;
	return `${Math.round(ms / 60_000)} min`;
}

function findingText({ object, problem }: FindingRecord): string {
	return `${object} ${problem}`;
}

function findingsText([first, ...rest]: readonly FindingRecord[]): string {
	if (first === undefined) return "something unnamed";
	const more = rest.length === 0 ? "" : ` (and ${rest.length} more)`;
	return `${findingText(first)}${more}`;
}

function causeLines({ suspects, by }: Cause): string[] {
	const process =
		by === undefined
			? []
			: [`changed by: ${by.program === undefined ? "" : `${by.program}, `}process ${by.process}`];
	return [...process, ...suspects.map((text) => `likely cause: ${text}`)];
}

function warningLines(warnings: readonly string[]): string[] {
	return shortened(warnings.map((text) => `warning: ${text}`));
}

function doneLines(steps: readonly { readonly commands: readonly string[] }[]): string[] {
	return shortened(steps.flatMap(({ commands }) => commands).map((command) => `done: ${command}`));
}

function listText(subjects: readonly string[]): string {
	const shown = subjects.slice(0, 5).join(", ");
	return subjects.length > 5 ? `${shown} and ${subjects.length - 5} more` : shown;
}

function shortened(lines: readonly string[]): string[] {
	if (lines.length <= MOST_LINES) return [...lines];
	return [...lines.slice(0, MOST_LINES - 1), `… and ${lines.length - MOST_LINES + 1} more`];
}
