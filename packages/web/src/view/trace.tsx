/** The form to trace a packet, and the agent's answer. */
import type { TraceRecord } from "@l3dsr/records";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Refusal } from "../api/agent-client.ts";
import { dscpText } from "../state/format.ts";
import { formatRoute } from "../state/route.ts";
import type { Tone } from "../state/services.ts";
import { nearMisses, outcomeOf } from "../state/trace.ts";
import { Sign } from "./sign.tsx";

type Fields = Readonly<Record<string, string>>;
type Ask = (fields: Fields) => Promise<TraceRecord>;

interface TraceProps {
	/** The fields in the URL. */
	readonly fields: Fields;
	readonly trace: Ask;
	readonly director: boolean;
}

type Answer =
	| { readonly kind: "none" }
	| { readonly kind: "asking" }
	| { readonly kind: "record"; readonly record: TraceRecord }
	| { readonly kind: "refused"; readonly message: string; readonly hint: string | undefined };

const DEFAULTS: Fields = { from: "203.0.113.9", to: "", dscp: "0", protocol: "tcp", port: "80" };

export function Trace({ fields, trace, director }: TraceProps): JSX.Element {
	const asked = new URLSearchParams(fields).toString();
	const [form, setForm] = useState<Fields>({ ...DEFAULTS, ...fields });
	const [answer, setAnswer] = useState<Answer>({ kind: "none" });
	useEffect(() => {
		setForm({ ...DEFAULTS, ...fields });
		if (fields["to"] === undefined || fields["from"] === undefined) {
			setAnswer({ kind: "none" });
			return undefined;
		}
		let current = true;
		setAnswer({ kind: "asking" });
		answerOf(trace, fields).then((found) => {
			if (current) setAnswer(found);
		});
		return () => {
			current = false;
		};
	}, [asked]);

	const change = (name: string) => (event: { currentTarget: { value: string } }) =>
		setForm((old) => ({ ...old, [name]: event.currentTarget.value }));
	const withPorts = form["protocol"] !== "icmp";
	const code = Number(form["dscp"]);
	return (
		<section class="trace" aria-labelledby="trace-title">
			<h2 id="trace-title">What happens to this packet?</h2>
			<form
				onSubmit={(event) => {
					event.preventDefault();
					const { port, ...others } = form;
					const wanted = withPorts && port !== undefined ? { ...others, port } : others;
					if (new URLSearchParams(wanted).toString() === asked) answerOf(trace, fields).then(setAnswer);
					else location.hash = formatRoute({ place: "trace", fields: wanted });
				}}
			>
				<label>
					From
					<input required spellcheck={false} value={form["from"]} onInput={change("from")} />
				</label>
				<label>
					To {director ? "(the VIP)" : "(this host's own address)"}
					<input required spellcheck={false} value={form["to"]} onInput={change("to")} />
				</label>
				<label>
					DSCP
					<input required type="number" min="0" max="63" value={form["dscp"]} onInput={change("dscp")} />
					<span class="aside">{Number.isInteger(code) && code >= 0 && code < 64 ? dscpText(code) : ""}</span>
				</label>
				<label>
					Protocol
					<select value={form["protocol"]} onChange={change("protocol")}>
						<option value="tcp">tcp</option>
						<option value="udp">udp</option>
						<option value="icmp">icmp</option>
					</select>
				</label>
				<label>
					Port
					<input
						type="number"
						min="1"
						max="65535"
						required={withPorts}
						disabled={!withPorts}
						value={withPorts ? form["port"] : ""}
						onInput={change("port")}
					/>
				</label>
				<button type="submit" class="primary">
					Trace
				</button>
			</form>
			<div class="answer" aria-live="polite">
				<AnswerView answer={answer} />
			</div>
		</section>
	);
}

async function answerOf(trace: Ask, fields: Fields): Promise<Answer> {
	try {
		return { kind: "record", record: await trace(fields) };
	} catch (error) {
		if (error instanceof Refusal) return { kind: "refused", message: error.message, hint: error.hint };
		return { kind: "refused", message: "the agent does not answer", hint: "systemctl status l3dsr-agent" };
	}
}

function AnswerView({ answer }: { answer: Answer }): JSX.Element | null {
	switch (answer.kind) {
		case "none":
			return (
				<p class="empty">
					Describe a packet: you see which rules match it, which nearly do, and what the header is before and
					after. Nothing is sent and no counter moves.
				</p>
			);
		case "asking":
			return <p class="empty">Asking the agent…</p>;
		case "refused":
			return (
				<p class="outcome bad">
					<Sign tone="bad" sign="✕" />
					<span>
						{answer.message}
						{answer.hint === undefined ? "" : ` (${answer.hint})`}
					</span>
				</p>
			);
		case "record":
			return <Traced record={answer.record} />;
	}
}

const SIGNS: Readonly<Record<Tone, string>> = { good: "✓", warn: "!", bad: "✕", idle: "·" };

function Traced({ record }: { record: TraceRecord }): JSX.Element {
	const outcome = outcomeOf(record);
	return (
		<>
			<p class={`outcome ${outcome.tone}`}>
				<Sign tone={outcome.tone} sign={SIGNS[outcome.tone]} />
				<span>{outcome.text}</span>
			</p>
			{(record.notes ?? []).map((note) => (
				<p class="aside" key={note}>
					{note}
				</p>
			))}
			<div class="halves">
				<section aria-label="Rules">
					<h3>Rules on its way{record.interface === "" ? "" : `, in ${record.interface}`}</h3>
					{record.stops.length === 0 ? <p class="empty">No rule is on its way.</p> : null}
					{record.stops.map((stop) => (
						<RulesOf key={`${stop.datapath} ${stop.place}`} stop={stop} />
					))}
				</section>
				<section aria-label="Header">
					<h3>Header</h3>
					<table class="header-fields">
						<thead>
							<tr>
								<th scope="col">Field</th>
								<th scope="col">Before</th>
								<th scope="col">After</th>
							</tr>
						</thead>
						<tbody>
							{record.header.map(({ header, name, before, after, changed }) => (
								<tr key={`${header} ${name}`} class={changed ? "changed" : ""}>
									<th scope="row">
										{header} {name}
									</th>
									<td>{before}</td>
									<td>{changed ? after : <span class="aside">same</span>}</td>
								</tr>
							))}
						</tbody>
					</table>
				</section>
			</div>
		</>
	);
}

function RulesOf({ stop }: { stop: TraceRecord["stops"][number] }): JSX.Element {
	const matched = stop.rules.filter((rule) => rule.matched);
	const near = nearMisses(stop.rules);
	const rest = stop.rules.length - matched.length - near.length;
	return (
		<>
			<p class="aside">
				{stop.datapath}, {stop.place}: {stop.rules.length} {stop.rules.length === 1 ? "rule" : "rules"} of its
				family
			</p>
			<ul class="rules">
				{matched.map(({ rule }) => (
					<li key={rule} class="good">
						<span class="chip good">matches</span> <code>{rule}</code>
					</li>
				))}
				{near.map(({ rule, failed }) => (
					<li key={rule} class="warn">
						<span class="chip warn">nearly</span> <code>{rule}</code>
						{failed.map(({ condition, packet, hint }) => (
							<span class="line" key={condition}>
								not <code>{condition}</code>: {packet}
								{hint === undefined ? "" : `; ${hint}`}
							</span>
						))}
					</li>
				))}
			</ul>
			{rest === 0 ? null : (
				<p class="aside">
					{rest} more {rest === 1 ? "does" : "do"} not match
				</p>
			)}
		</>
	);
}
