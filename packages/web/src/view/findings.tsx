/** Drift and faults, with their remedies. */

import type { FindingRecord } from "@l3dsr/records";
import type { JSX } from "preact";
import type { Tone } from "../state/services.ts";
import { Sign } from "./sign.tsx";

const LOOKS: Readonly<Record<FindingRecord["severity"], { readonly tone: Tone; readonly sign: string }>> = {
	error: { tone: "bad", sign: "✕" },
	warning: { tone: "warn", sign: "!" },
	note: { tone: "idle", sign: "i" },
};

const SEVERITIES: readonly FindingRecord["severity"][] = ["error", "warning", "note"];

export function Findings({ findings }: { findings: readonly FindingRecord[] }): JSX.Element {
	const worstFirst = findings.toSorted(
		(a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity),
	);
	return (
		<section class="findings" aria-labelledby="findings-title">
			<h2 id="findings-title">Findings</h2>
			{findings.length === 0 ? (
				<p class="empty">Nothing: the host is what its configuration says, and fit for it.</p>
			) : (
				<ul>
					{worstFirst.map((finding) => (
						<Finding key={`${finding.kind} ${finding.object} ${finding.message}`} finding={finding} />
					))}
				</ul>
			)}
		</section>
	);
}

function Finding({ finding }: { finding: FindingRecord }): JSX.Element {
	const { severity, kind, object, message, remedy, causes } = finding;
	const { tone, sign } = LOOKS[severity];
	return (
		<li class={`finding ${tone}`}>
			<Sign tone={tone} sign={sign} label={severity} />
			<div>
				<p class="message">{message}</p>
				<p class="aside">
					{kind}
					{object === null ? "" : ` · ${object}`}
				</p>
				{remedy === null ? null : <p class="remedy">{remedy}</p>}
				{causes.length === 0 ? null : <p class="aside">Possible cause: {causes.join("; or ")}</p>}
			</div>
		</li>
	);
}
