/** What `l3dsr probe` prints for people, and as a plugin of a monitoring system. */
import { formatDscp } from "@l3dsr/packet";
import type { TargetReport } from "../../probe/report.ts";
import type { Style } from "../style.ts";
import { formatTable } from "../table.ts";

/** One target: what happened, what was found, why, and what to do. */
export function reportText(report: TargetReport, style: Style): string {
	const verdict = verdictText(report);
	return [
		`${titleOf(report)}: ${report.ok ? style.good(verdict) : style.bad(verdict)}`,
		...report.found.map((fact) => `found: ${fact}`),
		...report.causes.map((cause) => `likely: ${cause}`),
		...report.next.map((step) => `next: ${step}`),
		"",
	].join("\n");
}

/** Many targets: one line each, then how many there were. */
export function tableText(reports: readonly TargetReport[], style: Style): string {
	const rows = reports.map((report) => [
		report.real,
		report.vip ?? "-",
		String(report.dscp),
		`0x${report.tos.toString(16).padStart(2, "0")}`,
		serviceOf(report),
		report.ok ? `ok ${timeOf(report)}` : verdictText(report),
	]);
	const failed = reports.filter(({ ok }) => !ok).length;
	const total = `${reports.length} probed, ${failed} failed\n`;
	return (
		formatTable(["REAL", "VIP", "DSCP", "TOS", "SERVICE", "RESULT"], rows, { header: style.bold }) +
		(failed === 0 ? style.good(total) : style.bad(total))
	);
}

/** 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: exit codes of monitoring-plugins.org. */
export const NAGIOS = { ok: 0, warning: 1, critical: 2, unknown: 3 } as const;

/** One line with performance data. A target that answers only some of its probes is a warning. */
export function nagiosText(reports: readonly TargetReport[]): { line: string; status: 0 | 1 | 2 } {
	const failed = reports.filter(({ ok }) => !ok);
	const critical = failed.some(
		({ answered, asked, outcome }) => answered === 0 || (answered === asked && outcome !== "vip"),
	);
	const word = failed.length === 0 ? "OK" : critical ? "CRITICAL" : "WARNING";
	const said =
		failed.length > 0
			? failed.map((report) => `${titleOf(report)}: ${verdictText(report)}`).join("; ")
			: reports.length === 1 && reports[0] !== undefined
				? `${titleOf(reports[0])}: ${verdictText(reports[0])}`
				: `${reports.length} targets answer from their VIPs`;
	const times = reports.flatMap(({ time }) => time ?? []);
	const slowest =
		times.length === 0 ? "U" : `${(Math.max(...times.map(({ maxMs }) => maxMs)) / 1000).toFixed(6)}s`;
	const performance = [
		`time=${slowest};;;0`,
		`answered=${reports.reduce((sum, { answered }) => sum + answered, 0)};;;0;${reports.reduce((sum, { asked }) => sum + asked, 0)}`,
		`failed=${failed.length};;;0;${reports.length}`,
	].join(" ");
	// A bar separates the text from the data.
	const line = `L3DSR ${word} - ${said.replaceAll("|", "/")} | ${performance}\n`;
	return { line, status: word === "OK" ? NAGIOS.ok : word === "WARNING" ? NAGIOS.warning : NAGIOS.critical };
}

/** `10.0.11.2 tcp/80 with DSCP 1 (TOS 0x04)`. */
function titleOf(report: TargetReport): string {
	return `${report.real} ${serviceOf(report)} with DSCP ${formatDscp(report.dscp)}`;
}

function serviceOf({ protocol, port }: TargetReport): string {
	return port === undefined ? protocol : `${protocol}/${port}`;
}

function timeOf({ time }: TargetReport): string {
	if (time === undefined) return "";
	const { minMs, avgMs, maxMs } = time;
	return minMs === maxMs
		? `${minMs.toFixed(1)} ms`
		: `${minMs.toFixed(1)}/${avgMs.toFixed(1)}/${maxMs.toFixed(1)} ms (min/avg/max)`;
}

function verdictText(report: TargetReport): string {
	const { outcome, vip, answeredBy, asked, answered } = report;
	const expected = vip === undefined ? "" : `, not by ${vip}`;
	const share = asked === 1 ? "" : `${answered} of ${asked}, `;
	switch (outcome) {
		case "vip":
			return `${share}${report.connected ? "connected to" : "answered by"} ${vip === undefined ? "" : "the VIP "}${answeredBy ?? ""} in ${timeOf(report)}`;
		case "vip-without-ecn":
			return `${share}answered by ${vip === undefined ? "" : "the VIP "}${answeredBy ?? ""}, but not when ECN bits are set`;
		case "handshake-ignored":
			return `${share}answered by ${vip === undefined ? "" : "the VIP "}${answeredBy ?? ""}, but nothing after the SYN is accepted`;
		case "connection-reset":
			return `${share}answered by ${vip === undefined ? "" : "the VIP "}${answeredBy ?? ""}, and then reset`;
		case "request-unanswered":
			return `${share}connected to ${vip === undefined ? "" : "the VIP "}${answeredBy ?? ""}, but the answer to the request does not arrive`;
		case "real-address":
			return `${share}answered by the real address itself${expected}`;
		case "other-address":
			return `${share}answered by ${answeredBy ?? ""}${expected}`;
		case "refused":
			return `${share}refused by ${answeredBy === vip ? "the VIP " : answeredBy === report.real ? "the real address " : ""}${answeredBy ?? ""}`;
		case "unreachable":
			return `${share}unreachable, says ${answeredBy ?? ""}`;
		case "silence":
			return `${share}no answer`;
		case "unsent":
			return `${share}could not be sent`;
	}
}
