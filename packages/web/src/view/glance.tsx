/** The host at a glance: its state, its traffic, and the state of its agent. */
import type { StatusRecord } from "@l3dsr/records";
import type { ComponentChildren, JSX } from "preact";
import { duration, NOTHING, scaled } from "../state/format.ts";
import { formatRoute } from "../state/route.ts";
import { census, rowsOf, type Tone } from "../state/services.ts";
import { age, type Snapshot, TOTAL } from "../state/session.ts";
import { realsOf, repairsOf, verdictOf } from "../state/verdict.ts";
import { Chart } from "./chart.tsx";
import { Sign } from "./sign.tsx";

interface GlanceProps {
	readonly snapshot: Snapshot;
	readonly status: StatusRecord;
	readonly nowMs: number;
	readonly live: boolean;
	/** One line on a small screen, because the reader is looking at something else. */
	readonly brief: boolean;
}

const SIGNS: Readonly<Record<Tone, string>> = { good: "✓", warn: "!", bad: "✕", idle: "■" };

export function Glance({ snapshot, status, nowMs, live, brief }: GlanceProps): JSX.Element {
	const { timeline, findings } = snapshot;
	const verdict = verdictOf(status, findings);
	const total = live ? timeline.rate(TOTAL) : null;
	const reals = realsOf(status);
	const repairs = repairsOf(status);
	const { agent, datapath } = status;
	return (
		<section
			class={`glance${live ? "" : " stale"}${brief ? " brief" : ""}`}
			aria-label="The host at a glance"
		>
			<div class={`verdict ${verdict.tone}`}>
				<Sign tone={verdict.tone} sign={SIGNS[verdict.tone]} />
				<div>
					<p class="headline">{verdict.headline}</p>
					<p class="aside">{verdict.beside}</p>
				</div>
				<Census status={status} />
			</div>
			<div class="traffic">
				<Figure name="Packets" value={scaled(total?.packets)} unit="/s" />
				<Figure name="Traffic" value={scaled(total?.bits)} unit="bit/s" />
				<Chart timeline={timeline} name="Traffic of the host" series={TOTAL} small />
			</div>
			<div class="keepers">
				{reals === undefined ? (
					<Figure name="Datapath" value={datapath.running.join(", ") || NOTHING} note={datapath.why} />
				) : (
					<Figure name="Real servers" value={`${reals.up}/${reals.total}`} unit="up" note={hooks(status)} />
				)}
				<Figure
					name="Findings"
					value={String(findings.length)}
					note={
						findings.length === 0 ? (
							"nothing to do"
						) : (
							<a href={formatRoute({ place: "findings" })}>what to do</a>
						)
					}
				/>
				<Figure name="Repairs" value={String(repairs.total)} note={repairs.mostly ?? "none needed"} />
				<Figure
					name="Checked"
					value={agent?.lastRun === undefined ? NOTHING : duration(age(snapshot, agent.lastRun.time, nowMs))}
					note={agent === undefined ? "no agent" : "ago"}
				/>
			</div>
		</section>
	);
}

function hooks({ director }: StatusRecord): string {
	return (director?.programs ?? []).map(({ interface: name, hook }) => `${hook} on ${name}`).join(", ");
}

function Figure({
	name,
	value,
	unit,
	note,
}: {
	name: string;
	value: string;
	unit?: string;
	note?: ComponentChildren;
}): JSX.Element {
	return (
		<div class="figure">
			<p class="name">{name}</p>
			<p class="value">
				{value}
				{unit === undefined ? null : <span class="unit"> {unit}</span>}
			</p>
			{note === undefined ? null : <p class="note">{note}</p>}
		</div>
	);
}

/** The number of services in each state, as a bar. */
function Census({ status }: { status: StatusRecord }): JSX.Element {
	const counts = census(rowsOf(status));
	const total = Math.max(1, counts.good + counts.warn + counts.bad + counts.idle);
	let x = 0;
	return (
		<svg class="census" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
			{(["bad", "warn", "idle", "good"] as const).map((tone) => {
				// Services that are not up stay visible, even if they are few among a thousand.
				const width = counts[tone] === 0 ? 0 : Math.max(1.5, (counts[tone] / total) * 100);
				const at = x;
				x += width;
				return <rect key={tone} class={tone} x={at} width={width} height={4} />;
			})}
		</svg>
	);
}
