/** Turns what the agent's loop knows into the records that are served. */
import { readdirSync } from "node:fs";
import type { FindingRecord, FleetRecord } from "@l3dsr/records";
import type { AgentRecord } from "../agent/record.ts";
import { recordLines } from "../agent/record-text.ts";
import type { AgentState } from "../agent/state.ts";
import { suspectsFor } from "../host/suspects.ts";
import { checkPlan } from "../inspect/check/check-host.ts";
import { identifyStatus } from "../inspect/status/identify.ts";
import { tracesOf } from "../inspect/status/traces.ts";
import { type PacketQuestion, traceQuestion } from "../inspect/trace/trace-question.ts";
import { jsonText, type Printable } from "../json.ts";
import type { Finding } from "../model/finding.ts";
import type { Fleet } from "../model/fleet.ts";
import type { Shown, ShownEvent } from "./shown.ts";

export class AgentShown implements Shown {
	readonly #state: AgentState;
	readonly #version: string;

	/** `version` of l3dsr. */
	constructor(state: AgentState, version: string) {
		this.#state = state;
		this.#version = version;
	}

	readonly status = async (): Promise<string> => {
		const record = identifyStatus(await this.#state.status(), this.#version);
		return jsonText("status", { ...record, agent: { ...this.#state.view(), usage: usage() } });
	};

	readonly findings = async (): Promise<string> => {
		const findings = [...this.#ofConfiguration(), ...(await this.#ofHost())];
		return jsonText("findings", { time: new Date().toISOString(), findings });
	};

	readonly fleet = async (): Promise<string> => jsonText("fleet", fleetRecord(this.#state.wish()?.fleet));

	readonly events = async (): Promise<string> =>
		// These are JSON already.
		jsonText("events", { events: this.#state.records().map(eventRecord) });

	readonly trace = async (question: PacketQuestion): Promise<string> =>
		jsonText("trace", await traceQuestion(question));

	readonly keptEvents = (): readonly ShownEvent[] => this.#state.records().map(shownEvent);

	readonly subscribe = (listener: (event: ShownEvent) => void): Disposable =>
		this.#state.subscribe((record) => listener(shownEvent(record)));

	#ofConfiguration(): FindingRecord[] {
		const { configuration, failure } = this.#state.view();
		const finding =
			(kind: string, object: string | null) =>
			(one: { readonly message: string; readonly hint?: string }): FindingRecord => ({
				kind,
				severity: "error",
				object,
				message: one.message,
				remedy: one.hint ?? null,
				causes: [],
			});
		return [
			...(configuration.refused ?? []).map(finding("configuration", configuration.source)),
			...(failure ?? []).map(finding("agent", null)),
		];
	}

	/** The findings of the host as the last run left it. */
	async #ofHost(): Promise<FindingRecord[]> {
		const [plan, wish] = [this.#state.plan(), this.#state.wish()];
		if (plan === undefined || wish === undefined) return [];
		const { drift, findings } = await checkPlan(wish.configuration, plan);
		const causes = suspectsFor(tracesOf(plan.observed, drift), new Set());
		return [
			...drift.map((one) => driftFinding(one, causes)),
			// Drift is listed above, with its object.
			...findings
				.filter(({ check }) => check !== "drift")
				.map(({ check, severity, message, remedy }) => ({
					kind: check,
					severity,
					object: null,
					message,
					remedy,
					causes: [],
				})),
		];
	}
}

function driftFinding({ kind, object, problem }: Finding, causes: readonly string[]): FindingRecord {
	const message = `${object} ${problem}`;
	return { kind, severity: "error", object, message, remedy: "l3dsr up repairs it", causes: [...causes] };
}

function eventRecord(record: AgentRecord): Printable<"events">["events"][number] {
	const [message = record.kind] = recordLines(record);
	return { ...record, message };
}

function shownEvent(record: AgentRecord): ShownEvent {
	return { id: record.id, body: JSON.stringify(eventRecord(record)) };
}

function usage(): { cpuSeconds: number; residentBytes: number; openDescriptors: number } {
	const { user, system } = process.cpuUsage();
	return {
		cpuSeconds: (user + system) / 1e6,
		residentBytes: process.memoryUsage.rss(),
		// One of the descriptors is the folder that readdir has open.
		openDescriptors: readdirSync("/proc/self/fd").length - 1,
	};
}

function fleetRecord(
	loaded: { readonly path: string; readonly fleet: Fleet } | undefined,
): Omit<FleetRecord, "schema"> {
	if (loaded === undefined) return { source: null, vips: [], pools: [] };
	const { path, fleet } = loaded;
	return {
		source: path,
		vips: fleet.vips.map(({ name, addresses, dscp, services, echo }) => ({
			name,
			addresses: addresses.map(({ text }) => text),
			dscp,
			services,
			echo,
		})),
		pools: fleet.pools.map(({ name, reals, check, drainMs, floor }) => ({
			name,
			reals: reals.map((real) => ({ ...real, addresses: real.addresses.map(({ text }) => text) })),
			check: check === undefined ? null : checkRecord(check),
			drainSeconds: drainMs / 1000,
			floor,
		})),
	};
}

function checkRecord(
	check: NonNullable<Fleet["pools"][number]["check"]>,
): FleetRecord["pools"][number]["check"] {
	const { type, intervalMs, timeoutMs, fall, rise } = check;
	return {
		type,
		...("port" in check && check.port !== undefined ? { port: check.port } : {}),
		...("path" in check ? { path: check.path } : {}),
		intervalMs,
		timeoutMs,
		fall,
		rise,
	};
}
