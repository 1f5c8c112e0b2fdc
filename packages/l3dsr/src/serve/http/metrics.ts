/**
 * A host's metrics, taken from the agent's status record. docs/reference/metrics.md lists them. They use base units,
 * and have no label whose values a client can choose. Pure.
 */
import type { DirectedServiceRecord, RealRecord, ServiceRecord, StatusRecord } from "@l3dsr/records";
import type { Labels, MetricAbout, Sample } from "./metric.ts";

export interface StatusMetric extends MetricAbout {
	readonly samples: (status: StatusRecord) => Iterable<Sample>;
}

const SERVICE = ["service", "vip", "dscp"] as const;
const DIRECTED = ["vip", "protocol", "port"] as const;
const REAL = [...DIRECTED, "real", "address"] as const;

export const STATUS_METRICS: readonly StatusMetric[] = [
	gauge(
		"l3dsr_build_info",
		"Version of l3dsr and of the kernel; always 1.",
		["version", "kernel"],
		({ host }) => [[{ version: host.l3dsr, kernel: host.kernel }, 1]],
	),
	counter(
		"l3dsr_rewritten_packets_total",
		"Packets that the rules of a service have rewritten.",
		[...SERVICE, "datapath"],
		({ services }) => summed(services, rewrittenLabels, ({ packets }) => packets),
	),
	counter(
		"l3dsr_rewritten_bytes_total",
		"Bytes of the IP packets that the rules of a service have rewritten.",
		[...SERVICE, "datapath"],
		({ services }) => summed(services, rewrittenLabels, ({ bytes }) => bytes),
	),
	gauge(
		"l3dsr_service_up",
		"1 when the VIP and all rules of the service are in place.",
		SERVICE,
		({ services }) =>
			least(services.filter(isConfigured), serviceLabels, ({ state }) => (state === "up" ? 1 : 0)),
	),
	gauge("l3dsr_services", "Services by state.", ["state"], ({ services }) =>
		SERVICE_STATES.map((state) => [{ state }, services.filter((one) => one.state === state).length]),
	),
	gauge(
		"l3dsr_drift",
		"Differences between the host and its configuration, by kind.",
		["kind"],
		({ drift }) =>
			summed(
				drift,
				({ kind }) => ({ kind }),
				() => 1,
			),
	),
	gauge("l3dsr_agent_condition", "1 for the condition that the agent is in.", ["condition"], ({ agent }) =>
		agent === undefined
			? []
			: CONDITIONS.map((condition) => [{ condition }, agent.condition === condition ? 1 : 0]),
	),
	gauge(
		"l3dsr_config_last_apply_timestamp_seconds",
		"When a run last left the host matching its configuration.",
		[],
		({ agent }) => moment(agent?.rightAt),
	),
	gauge("l3dsr_config_read_timestamp_seconds", "When the configuration in force was read.", [], ({ agent }) =>
		moment(agent?.configuration.readAt),
	),
	gauge("l3dsr_config_refused", "1 when the current file is not in force.", [], ({ agent }) =>
		agent === undefined ? [] : [[{}, agent.configuration.refused === undefined ? 0 : 1]],
	),
	counter("l3dsr_repairs_total", "Repairs of the host, by likely cause.", ["cause"], ({ agent }) =>
		Object.entries(agent?.counts.repairs ?? {}).map(([cause, count]) => [{ cause }, count]),
	),
	counter("l3dsr_agent_runs_total", "Runs of the agent, by how they ended.", ["outcome"], ({ agent }) =>
		Object.entries(agent?.counts.runs ?? {}).map(([outcome, count]) => [{ outcome }, count]),
	),
	gauge("l3dsr_agent_last_run_duration_seconds", "How long the last run took.", [], ({ agent }) =>
		agent?.lastRun === undefined ? [] : [[{}, agent.lastRun.tookMs / 1000]],
	),
	counter("l3dsr_agent_events_total", "Events that the agent has received.", ["trigger"], ({ agent }) =>
		Object.entries(agent?.counts.events ?? {}).map(([trigger, count]) => [{ trigger }, count]),
	),
	counter("l3dsr_configurations_refused_total", "Configurations that were refused.", [], ({ agent }) =>
		agent === undefined ? [] : [[{}, agent.counts.configurationsRefused]],
	),
	counter(
		"l3dsr_director_packets_total",
		"Packets that the director has sent to a real server.",
		REAL,
		(status) => summed(realsOf(status), realLabels, ({ real }) => real.packets),
	),
	counter(
		"l3dsr_director_bytes_total",
		"Bytes of the IP packets that the director has sent to a real server.",
		REAL,
		(status) => summed(realsOf(status), realLabels, ({ real }) => real.bytes),
	),
	gauge("l3dsr_director_real_up", "1 when the real server takes new flows.", REAL, (status) =>
		least(realsOf(status), realLabels, ({ real }) => (real.state === "up" ? 1 : 0)),
	),
	gauge("l3dsr_director_real_share", "Share of the service's new flows, 0-1.", REAL, (status) =>
		summed(realsOf(status), realLabels, ({ real }) => real.share),
	),
	gauge(
		"l3dsr_director_service_up",
		"1 when at least one real server of the service takes new flows.",
		DIRECTED,
		({ director }) =>
			least(director?.services ?? [], directedLabels, ({ state }) => (state === "down" ? 0 : 1)),
	),
	gauge(
		"l3dsr_director_service_below_floor",
		"1 when so few real servers are healthy that all are used.",
		DIRECTED,
		({ director }) =>
			summed(director?.services ?? [], directedLabels, ({ state }) => (state === "floor" ? 1 : 0)),
	),
	gauge(
		"l3dsr_director_transition_slots",
		"Slots of the service that remember the flows of their previous real server, of 65,537.",
		DIRECTED,
		({ director }) =>
			summed(director?.services ?? [], directedLabels, ({ transition }) => transition?.slots ?? 0),
	),
	gauge(
		"l3dsr_director_next_hops",
		"Real servers by the state of their next hop.",
		["state"],
		({ director }) =>
			director === undefined
				? []
				: HOP_STATES.map((state) => [
						{ state },
						hopsOf(director.services).filter((one) => one === state).length,
					]),
	),
	counter(
		"l3dsr_director_not_forwarded_packets_total",
		"Packets that the director has not sent to a real server, by reason.",
		["reason", "outcome"],
		({ director }) =>
			(director?.reasons ?? []).map(({ reason, outcome, packets }) => [{ reason, outcome }, packets]),
	),
	gauge("l3dsr_director_check_up", "1 when the real server is healthy according to its check.", REAL, (s) =>
		least(checked(s), realLabels, ({ real }) => (real.check?.state === "healthy" ? 1 : 0)),
	),
	gauge("l3dsr_director_check_duration_seconds", "How long the last check took.", REAL, (status) =>
		summed(
			checked(status).filter(({ real }) => real.check?.durationMs !== undefined),
			realLabels,
			({ real }) => (real.check?.durationMs ?? 0) / 1000,
		),
	),
	gauge("l3dsr_director_vip_announced", "1 when the VIP is announced to routers.", ["vip"], ({ director }) =>
		(director?.announcements ?? []).map(({ vip, announced }) => [{ vip }, announced ? 1 : 0]),
	),
	counter("process_cpu_seconds_total", "Processor time of the agent.", [], ({ agent }) =>
		agent === undefined ? [] : [[{}, agent.usage.cpuSeconds]],
	),
	gauge("process_resident_memory_bytes", "Resident memory of the agent.", [], ({ agent }) =>
		agent === undefined ? [] : [[{}, agent.usage.residentBytes]],
	),
	gauge("process_open_fds", "Open descriptors of the agent.", [], ({ agent }) =>
		agent === undefined ? [] : [[{}, agent.usage.openDescriptors]],
	),
	gauge("process_start_time_seconds", "When the agent was started.", [], ({ agent }) =>
		moment(agent?.startedAt),
	),
];

const SERVICE_STATES = ["up", "partial", "down", "stopped", "not configured"] as const;
const CONDITIONS = ["starting", "right", "failing", "contended", "held"] as const;
const HOP_STATES = ["resolved", "kernel", "unresolved", "unreachable"] as const;

interface RealOf {
	readonly service: DirectedServiceRecord;
	readonly real: RealRecord;
}

function counter(
	name: string,
	help: string,
	labels: readonly string[],
	samples: StatusMetric["samples"],
): StatusMetric {
	return { name, help, type: "counter", labels, samples };
}

function gauge(
	name: string,
	help: string,
	labels: readonly string[],
	samples: StatusMetric["samples"],
): StatusMetric {
	return { name, help, type: "gauge", labels, samples };
}

function isConfigured({ state }: ServiceRecord): boolean {
	return state !== "not configured";
}

function serviceLabels({ name, vip, selection }: ServiceRecord): Labels {
	const codes = new Set(selection.flatMap(({ dscp }) => (dscp === undefined ? [] : [String(dscp)])));
	return { service: name, vip, dscp: [...codes].join(",") };
}

function rewrittenLabels(service: ServiceRecord): Labels {
	return { ...serviceLabels(service), datapath: service.datapaths.join(",") };
}

function directedLabels({ vip, protocol, port }: DirectedServiceRecord): Labels {
	return { vip, protocol, port: String(port) };
}

function realLabels({ service, real }: RealOf): Labels {
	return { ...directedLabels(service), real: real.name, address: real.address };
}

function realsOf({ director }: StatusRecord): RealOf[] {
	return (director?.services ?? []).flatMap((service) => service.reals.map((real) => ({ service, real })));
}

function checked(status: StatusRecord): RealOf[] {
	return realsOf(status).filter(({ real }) => real.check !== undefined);
}

/** The state of each real server's next hop, once for each address even if it serves several services. */
function hopsOf(services: readonly DirectedServiceRecord[]): string[] {
	const ways = new Map(
		services.flatMap(({ reals }) => reals.map(({ address, hop }) => [address, hop.state] as const)),
	);
	return [...ways.values()];
}

function moment(time: string | undefined): Sample[] {
	return time === undefined ? [] : [[{}, Date.parse(time) / 1000]];
}

/** Adds up items with the same labels: services with the same name and VIP may differ only in their ports. */
function summed<T>(
	items: readonly T[],
	labelsOf: (item: T) => Labels,
	measure: (item: T) => number | null,
): Iterable<Sample> {
	return merged(items, labelsOf, measure, (a, b) => a + b);
}

function least<T>(
	items: readonly T[],
	labelsOf: (item: T) => Labels,
	measure: (item: T) => number,
): Iterable<Sample> {
	return merged(items, labelsOf, measure, Math.min);
}

function merged<T>(
	items: readonly T[],
	labelsOf: (item: T) => Labels,
	measure: (item: T) => number | null,
	merge: (a: number, b: number) => number,
): Iterable<Sample> {
	const samples = new Map<string, Sample>();
	for (const item of items) {
		const value = measure(item);
		if (value === null) continue;
		const labels = labelsOf(item);
		const key = Object.values(labels).join("\n");
		const other = samples.get(key);
		samples.set(key, [labels, other === undefined ? value : merge(other[1], value)]);
	}
	return samples.values();
}
