/** Draws the page from one snapshot and the place in the URL. */
import type { StatusRecord, TraceRecord } from "@l3dsr/records";
import type { JSX } from "preact";
import { formatRoute, type Place, type Route } from "../state/route.ts";
import { rowsOf } from "../state/services.ts";
import type { Snapshot } from "../state/session.ts";
import { Events } from "./events.tsx";
import { Findings } from "./findings.tsx";
import { Glance } from "./glance.tsx";
import { Header } from "./header.tsx";
import { Notices } from "./notices.tsx";
import { Pools } from "./pools.tsx";
import { ServiceDetail } from "./service-detail.tsx";
import { ServiceList } from "./service-list.tsx";
import { Trace } from "./trace.tsx";

/** Number of events beside the other content, if there is space. */
const RAIL_EVENTS = 30;

export interface AppProps {
	readonly snapshot: Snapshot;
	readonly route: Route;
	readonly nowMs: number;
	readonly useToken: (token: string) => void;
	readonly trace: (fields: Readonly<Record<string, string>>) => Promise<TraceRecord>;
}

export function App(props: AppProps): JSX.Element {
	const { snapshot, route, nowMs, useToken } = props;
	const { connection, status, findings, events } = snapshot;
	const live = connection.state === "live";
	const listing = route.place === "services" && route.open === undefined;
	return (
		<>
			<button type="button" class="skip" onClick={() => document.getElementById("content")?.focus()}>
				Skip to the content
			</button>
			<Header connection={connection} status={status} />
			<Notices snapshot={snapshot} nowMs={nowMs} useToken={useToken} />
			{status === undefined ? (
				<p class="empty waiting">{connection.state === "connecting" ? "Asking the agent…" : ""}</p>
			) : (
				<>
					<Glance snapshot={snapshot} status={status} nowMs={nowMs} live={live} brief={!listing} />
					<Places route={route} status={status} findings={findings.length} />
					<div class={listing ? "columns listing" : "columns"}>
						<main id="content" tabIndex={-1}>
							<Content {...props} status={status} live={live} />
						</main>
						<aside class="rail" aria-label="Findings and events">
							{route.place === "findings" ? null : <Findings findings={findings} />}
							{route.place === "events" ? null : <Events events={events} nowMs={nowMs} most={RAIL_EVENTS} />}
						</aside>
					</div>
				</>
			)}
			<p class="unseen" role="status">
				{snapshot.announcement}
			</p>
		</>
	);
}

function Places({
	route,
	status,
	findings,
}: {
	route: Route;
	status: StatusRecord;
	findings: number;
}): JSX.Element {
	const places: readonly (readonly [Place, string])[] = [
		["services", "Services"],
		...(status.director === undefined ? [] : ([["pools", "Pools"]] as const)),
		["findings", "Findings"],
		["events", "Events"],
		["trace", "Trace"],
	];
	return (
		<nav class="places" aria-label="Places">
			{places.map(([place, title]) => (
				<a
					key={place}
					href={formatRoute({ place })}
					aria-current={route.place === place ? "page" : undefined}
				>
					{title}
					{place === "findings" && findings > 0 ? <span class="badge">{findings}</span> : null}
				</a>
			))}
		</nav>
	);
}

function Content(props: AppProps & { readonly status: StatusRecord; readonly live: boolean }): JSX.Element {
	const { snapshot, route, nowMs, trace, status, live } = props;
	const { timeline, findings, events } = snapshot;
	switch (route.place) {
		case "services": {
			const rows = rowsOf(status);
			const open = rows.find(({ key }) => key === route.open);
			return (
				<div class={open === undefined ? "master" : "master opened"}>
					<ServiceList rows={rows} timeline={timeline} live={live} open={route.open} />
					{open === undefined ? null : (
						<ServiceDetail row={open} status={status} timeline={timeline} live={live} />
					)}
				</div>
			);
		}
		case "pools":
			if (status.director === undefined) return <p class="empty">This host is not a director.</p>;
			return (
				<Pools
					director={status.director}
					timeMs={Date.parse(status.time)}
					timeline={timeline}
					live={live}
					open={route.open}
				/>
			);
		case "findings":
			return <Findings findings={findings} />;
		case "events":
			return <Events events={events} nowMs={nowMs} />;
		case "trace":
			return <Trace fields={route.fields} trace={trace} director={status.host.roles.includes("director")} />;
	}
}
