/** The events and repairs of the agent, newest first. */

import type { EventRecord } from "@l3dsr/records";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { clock, elapsed } from "../state/format.ts";
import type { Tone } from "../state/services.ts";
import { Sign } from "./sign.tsx";

const LOOKS: Readonly<Record<EventRecord["severity"], { readonly tone: Tone; readonly sign: string }>> = {
	error: { tone: "bad", sign: "✕" },
	warning: { tone: "warn", sign: "!" },
	notice: { tone: "idle", sign: "·" },
	info: { tone: "idle", sign: "·" },
};

const FILTERS = {
	all: () => true,
	repairs: ({ kind }: EventRecord) => kind === "repaired",
	problems: ({ severity }: EventRecord) => severity === "warning" || severity === "error",
} as const;

interface EventsProps {
	/** Newest first. */
	readonly events: readonly EventRecord[];
	readonly nowMs: number;
	/** The maximum number; all of them on their own page. */
	readonly most?: number;
}

export function Events({ events, nowMs, most }: EventsProps): JSX.Element {
	const [filter, setFilter] = useState<keyof typeof FILTERS>("all");
	const found = events.filter(FILTERS[filter]);
	const shown = most === undefined ? found : found.slice(0, most);
	return (
		<section class="events" aria-labelledby="events-title">
			<div class="bar">
				<h2 id="events-title">Events and repairs</h2>
				<fieldset class="choice">
					<legend class="unseen">Which events</legend>
					{(["all", "repairs", "problems"] as const).map((one) => (
						<button key={one} type="button" aria-pressed={filter === one} onClick={() => setFilter(one)}>
							{one}
						</button>
					))}
				</fieldset>
			</div>
			{shown.length === 0 ? (
				<p class="empty">{events.length === 0 ? "Nothing has happened yet." : `No ${filter} so far.`}</p>
			) : (
				<ol>
					{shown.map((event) => (
						<Event key={`${event.time} ${event.id}`} event={event} nowMs={nowMs} />
					))}
				</ol>
			)}
		</section>
	);
}

function Event({ event, nowMs }: { event: EventRecord; nowMs: number }): JSX.Element {
	const { time, kind, severity, message, cause, steps = [], errors = [], tookMs } = event;
	const commands = steps.flatMap((step) => step.commands);
	const look = kind === "repaired" ? ({ tone: "good", sign: "✓" } as const) : LOOKS[severity];
	return (
		<li class={`event ${look.tone}`}>
			<time dateTime={time}>
				{clock(Date.parse(time), nowMs)
					.split(" ")
					.map((part) => (
						<span key={part}>{part} </span>
					))}
			</time>
			<Sign tone={look.tone} sign={look.sign} label={severity} />
			<div>
				<p class="message">
					{message}
					{tookMs === undefined ? null : <span class="aside"> {elapsed(tookMs)}</span>}
				</p>
				{errors.map(({ code, message: said, hint }) => (
					<p key={`${code} ${said}`} class="aside">
						{code}: {said}
						{hint === undefined ? "" : ` (${hint})`}
					</p>
				))}
				{cause === undefined ? null : <Cause cause={cause} />}
				{commands.length === 0 ? null : (
					<details>
						<summary>
							{commands.length} {commands.length === 1 ? "change" : "changes"}
						</summary>
						<pre>{commands.join("\n")}</pre>
					</details>
				)}
			</div>
		</li>
	);
}

function Cause({ cause: { suspects, by } }: { cause: NonNullable<EventRecord["cause"]> }): JSX.Element {
	const [first] = suspects;
	return (
		<>
			{by === undefined ? null : (
				<p class="aside">
					Changed by {by.program === undefined ? "" : `${by.program}, `}process {by.process}
				</p>
			)}
			{first === undefined ? null : (
				<p class="aside">
					Likely cause: {first}
					{suspects.length === 1 ? "" : `, or one of ${suspects.length - 1} others`}
				</p>
			)}
		</>
	);
}
