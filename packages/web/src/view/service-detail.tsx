/** One service: the way of its packets, its rate, and its configuration. */

import type { DirectedServiceRecord, ServiceRecord, StatusRecord } from "@l3dsr/records";
import type { ComponentChildren, JSX } from "preact";
import { counted, dscpText, duration, exact, NOTHING, scaled } from "../state/format.ts";
import { formatRoute } from "../state/route.ts";
import { conditionsText } from "../state/selection.ts";
import { directedKey, type Row, serviceKey } from "../state/services.ts";
import type { Timeline } from "../state/timeline.ts";
import { wayFromHere, wayToHere } from "../state/way.ts";
import { Chart } from "./chart.tsx";
import { Sign } from "./sign.tsx";
import { Way } from "./way.tsx";

interface ServiceDetailProps {
	readonly row: Row;
	readonly status: StatusRecord;
	readonly timeline: Timeline;
	readonly live: boolean;
}

export function ServiceDetail({ row, status, timeline, live }: ServiceDetailProps): JSX.Element {
	const own = status.services.find((service) => serviceKey(service) === row.key);
	const directed = status.director?.services.find((service) => directedKey(service) === row.key);
	const rate = live ? timeline.rate(row.key) : null;
	const { name: host } = status.host;
	return (
		<article class="detail" aria-labelledby="detail-title">
			<header>
				<a class="back" href={formatRoute({ place: "services" })}>
					← All services
				</a>
				<h2 id="detail-title">{row.name}</h2>
				<p class={`chip ${row.tone}`}>
					<Sign tone={row.tone} sign={row.sign} /> {row.state}
				</p>
				<p class="lead">
					<code>{row.vip}</code> {row.takes === "" ? "" : `· ${row.takes}`}
				</p>
				{row.reason === undefined ? null : <p class={`why ${row.tone}`}>{row.reason}</p>}
			</header>
			<section aria-labelledby="way-title">
				<h3 id="way-title">The way of its packets</h3>
				{own === undefined ? null : <Way way={wayToHere(own, host)} />}
				{directed === undefined ? null : <Way way={wayFromHere(directed, host)} />}
			</section>
			<section aria-labelledby="rate-title">
				<h3 id="rate-title">Rate</h3>
				<Chart key={row.key} timeline={timeline} name={`Rate of ${row.name}`} series={row.key} />
			</section>
			<dl class="facts">
				<Fact name="Packets">
					<span class="counter">{exact(row.packets)}</span>{" "}
					<span class="aside">{scaled(rate?.packets)}/s</span>
				</Fact>
				<Fact name="Bytes">
					<span class="counter">{exact(row.bytes)}</span>{" "}
					<span class="aside">{scaled(rate?.bits)} bit/s</span>
				</Fact>
				{own === undefined ? null : <OwnFacts service={own} />}
				{directed === undefined ? null : <DirectedFacts service={directed} />}
			</dl>
			<p class="actions">
				<a class="button" href={formatRoute({ place: "trace", fields: traceFields(row) })}>
					Trace a packet to it
				</a>
				{directed === undefined ? null : (
					<a class="button" href={formatRoute({ place: "pools", open: directed.pool })}>
						Its pool: {directed.pool}
					</a>
				)}
			</p>
		</article>
	);
}

/** The initial fields of the trace form. */
function traceFields({ codes, takes, role, vip }: Row): Readonly<Record<string, string>> {
	const [protocol = "", port = ""] = /\b(tcp|udp)\b(?: (\d+))?/.exec(takes)?.slice(1) ?? [];
	return {
		...(role === "director" ? { to: vip, dscp: "0" } : { dscp: String(codes[0] ?? 0) }),
		...(protocol === "" ? {} : { protocol }),
		...(port === "" || port === undefined ? {} : { port }),
	};
}

function Fact({ name, children }: { name: string; children: ComponentChildren }): JSX.Element {
	return (
		<div>
			<dt>{name}</dt>
			<dd>{children}</dd>
		</div>
	);
}

function OwnFacts({ service }: { service: ServiceRecord }): JSX.Element {
	const { selection, rules, datapaths, loopback, type } = service;
	const codes = selection.flatMap(({ dscp }) => (dscp === undefined ? [] : [dscp]));
	return (
		<>
			<Fact name="DSCP">{codes.map(dscpText).join(", ") || NOTHING}</Fact>
			<Fact name="Takes">
				{conditionsText(selection) || (type === "l2dsr" ? "the VIP itself" : "all of the code")}
			</Fact>
			<Fact name="Rules">
				{rules.present} of {rules.wanted} {datapaths.length === 0 ? "" : `on ${datapaths.join(", ")}`}
			</Fact>
			<Fact name="VIP on lo">{loopback === null ? "missing" : loopback}</Fact>
		</>
	);
}

function DirectedFacts({ service }: { service: DirectedServiceRecord }): JSX.Element {
	const { dscp, pool, affinity, transition, reals } = service;
	return (
		<>
			<Fact name="DSCP">{dscpText(dscp)}</Fact>
			<Fact name="Pool">
				{pool}, {counted(reals.length, "real server")}
			</Fact>
			<Fact name="Affinity">
				{affinity === "flow" ? "each flow by itself" : "all flows of a client together"}
			</Fact>
			<Fact name="Transition">
				{transition === null
					? "none"
					: `${counted(transition.slots, "slot")} remember their previous real server, since ${duration(transition.seconds * 1000)}`}
			</Fact>
		</>
	);
}
