/** The pools of a director, and the matrix of one pool: its real servers by the services that use them. */

import type { DirectedServiceRecord, DirectorRecord } from "@l3dsr/records";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { counted, dscpText, duration, exact, percent, scaled } from "../state/format.ts";
import { cellOf, checkText, type PoolReal, type PoolView, poolsOf, REAL_STATES } from "../state/pools.ts";
import { formatRoute } from "../state/route.ts";
import { directedKey } from "../state/services.ts";
import { realKey } from "../state/session.ts";
import type { Timeline } from "../state/timeline.ts";
import { Sign } from "./sign.tsx";

/** The number of services side by side; a larger pool has several pages. */
const COLUMNS = 12;

interface PoolsProps {
	readonly director: DirectorRecord;
	/** When the host was observed. */
	readonly timeMs: number;
	readonly timeline: Timeline;
	readonly live: boolean;
	readonly open: string | undefined;
}

export function Pools({ director, timeMs, timeline, live, open }: PoolsProps): JSX.Element {
	const pools = poolsOf(director);
	const chosen =
		pools.find(({ name }) => name === open) ?? pools.find(({ tone }) => tone !== "good") ?? pools[0];
	if (chosen === undefined) return <p class="empty">This director has no pool with a service yet.</p>;
	return (
		<div class="pools">
			<nav class="pool-list" aria-label="Pools">
				<ul>
					{pools.map((pool) => (
						<li key={pool.name}>
							<a
								href={formatRoute({ place: "pools", open: pool.name })}
								aria-current={pool === chosen ? "true" : undefined}
							>
								<Sign tone={pool.tone} sign={SIGNS[pool.tone]} label={pool.tone} />
								<span class="name">{pool.name}</span>
								<span class="aside">
									{pool.reals.filter(({ state }) => state === "up").length} of {pool.reals.length} up
								</span>
							</a>
						</li>
					))}
				</ul>
			</nav>
			<Matrix key={chosen.name} pool={chosen} timeMs={timeMs} timeline={timeline} live={live} />
			<NotForwarded reasons={director.reasons} />
		</div>
	);
}

const SIGNS = { good: "✓", warn: "◐", bad: "✕", idle: "■" } as const;

function Matrix({
	pool,
	timeMs,
	timeline,
	live,
}: { pool: PoolView } & Pick<PoolsProps, "timeMs" | "timeline" | "live">): JSX.Element {
	const [page, setPage] = useState(0);
	const pages = Math.ceil(pool.services.length / COLUMNS);
	const start = Math.min(page, pages - 1) * COLUMNS;
	const services = pool.services.slice(start, start + COLUMNS);
	return (
		<section class="matrix" aria-labelledby="matrix-title">
			<header>
				<h2 id="matrix-title">{pool.name}</h2>
				<p class="lead">
					{counted(pool.reals.length, "real server")}, {counted(pool.services.length, "service")}
				</p>
				{pages < 2 ? null : (
					<p class="pages">
						<button type="button" disabled={start === 0} onClick={() => setPage(page - 1)}>
							← Previous
						</button>
						<span>
							Services {start + 1} to {start + services.length} of {pool.services.length}
						</span>
						<button type="button" disabled={page >= pages - 1} onClick={() => setPage(page + 1)}>
							Next →
						</button>
					</p>
				)}
			</header>
			{/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls sideways must be reachable by the keyboard */}
			<section class="scroller" tabIndex={0} aria-label={`Matrix of ${pool.name}`}>
				<table>
					<thead>
						<tr>
							<th scope="col">Real server</th>
							{services.map((service) => (
								<ServiceHeading key={directedKey(service)} service={service} />
							))}
						</tr>
					</thead>
					<tbody>
						{pool.reals.map((real) => (
							<tr key={real.name}>
								<RealHeading real={real} />
								{services.map((service) => (
									<Cell
										key={directedKey(service)}
										service={service}
										real={real}
										timeMs={timeMs}
										timeline={timeline}
										live={live}
									/>
								))}
							</tr>
						))}
					</tbody>
				</table>
			</section>
		</section>
	);
}

function ServiceHeading({ service }: { service: DirectedServiceRecord }): JSX.Element {
	const { name, vip, protocol, port, dscp, transition } = service;
	return (
		<th scope="col">
			<a href={formatRoute({ place: "services", open: directedKey(service) })}>
				{name} {protocol} {port}
			</a>
			<span class="address">{vip}</span>
			<span class="aside">DSCP {dscpText(dscp)}</span>
			{transition === null ? null : (
				<span
					class="chip warn"
					title={`${exact(transition.slots)} slots remember their previous real server`}
				>
					in transition, {duration(transition.seconds * 1000)}
				</span>
			)}
		</th>
	);
}

function RealHeading({ real }: { real: PoolReal }): JSX.Element {
	const { name, addresses, weight, state, reason } = real;
	const { tone, sign } = REAL_STATES[state];
	return (
		<th scope="row">
			<span class="name">
				<Sign tone={tone} sign={sign} label={state} /> {name}
			</span>
			{addresses.map((address) => (
				<span class="address" key={address}>
					{address}
				</span>
			))}
			<span class="aside">weight {weight}</span>
			{reason === undefined ? null : <span class={`why ${tone}`}>{reason}</span>}
		</th>
	);
}

function Cell({
	service,
	real,
	timeMs,
	timeline,
	live,
}: { service: DirectedServiceRecord; real: PoolReal } & Pick<
	PoolsProps,
	"timeMs" | "timeline" | "live"
>): JSX.Element {
	const cell = cellOf(service, real);
	if (cell === undefined) return <td class="none">no address of its family</td>;
	const { state, reason, share, hop, packets, check } = cell;
	const { tone, sign } = REAL_STATES[state];
	const rate = live ? timeline.rate(realKey(service, cell.address)) : null;
	const lost = hop.state === "unresolved" || hop.state === "unreachable";
	return (
		<td class={tone} title={`${exact(packets)} packets in all; next hop ${hop.state}`}>
			<span class="state">
				<Sign tone={tone} sign={sign} /> {state}
				<span class="share">{percent(share)}</span>
			</span>
			<meter class="share-bar" min={0} max={1} value={share} aria-hidden="true" />
			<span class="rate">{scaled(rate?.packets)} packets/s</span>
			{check === undefined ? null : <span class="check">{checkText(check, timeMs)}</span>}
			{reason === undefined || reason === real.reason ? null : <span class={`why ${tone}`}>{reason}</span>}
			{lost ? <span class="why warn">next hop {hop.state}</span> : null}
		</td>
	);
}

function NotForwarded({ reasons }: Pick<DirectorRecord, "reasons">): JSX.Element | null {
	const met = reasons.filter(({ packets }) => packets > 0).toSorted((a, b) => b.packets - a.packets);
	if (met.length === 0) return null;
	return (
		<section class="reasons" aria-labelledby="reasons-title">
			<h2 id="reasons-title">Packets that were not forwarded</h2>
			<table>
				<thead>
					<tr>
						<th scope="col">Reason</th>
						<th scope="col">Meaning</th>
						<th scope="col">Then</th>
						<th scope="col" class="number">
							Packets
						</th>
					</tr>
				</thead>
				<tbody>
					{met.map(({ reason, meaning, outcome, packets }) => (
						<tr key={reason}>
							<th scope="row">
								<code>{reason}</code>
							</th>
							<td>{meaning}</td>
							<td>{OUTCOMES[outcome]}</td>
							<td class="number">{exact(packets)}</td>
						</tr>
					))}
				</tbody>
			</table>
		</section>
	);
}

const OUTCOMES = { pass: "to the kernel", drop: "dropped", answer: "answered" } as const;
