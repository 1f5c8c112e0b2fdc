/**
 * What reporting programs have in common: they send events to a ring buffer while the reader gives them credit, and
 * count the events that they do not send.
 */
import {
	BPF_MAP_FLAG,
	type MapSpec,
	type Place,
	type ProgramBuilder,
	struct,
	type View,
	view,
	whole,
} from "@l3dsr/bpf";

export const REPORT_MAP = { ring: "l3dsr_events", control: "l3dsr_watch_ctl", flows: "l3dsr_flows" } as const;

/** Events not sent, for lack of credit or of room in the ring buffer. */
export const CONTROL = struct("control", { credit: "u64", leftOut: "u64" });

/** The map that all programs of one watcher share, besides the ring buffer. */
export const CONTROL_MAP: MapSpec = {
	name: REPORT_MAP.control,
	type: "BPF_MAP_TYPE_ARRAY",
	keySize: 4,
	valueSize: CONTROL.size,
	maxEntries: 1,
	flags: BPF_MAP_FLAG.BPF_F_MMAPABLE,
};

const MOST_FLOWS = 65536;
const BPF_ANY = 0;

/** The map of flows already reported, with the size of a flow's key. */
export function flowsMap(keyBytes: number): MapSpec {
	return {
		name: REPORT_MAP.flows,
		type: "BPF_MAP_TYPE_LRU_HASH",
		keySize: keyBytes,
		valueSize: 4,
		maxEntries: MOST_FLOWS,
	};
}

export interface Report {
	readonly ring: MapSpec;
	/** Everything is written except the time. */
	readonly event: View & { readonly time: Place; readonly _pad: Place };
	/** Only the first packet of each flow. */
	readonly flow?: { readonly map: MapSpec; readonly key: Place };
}

/** Sends the event, or counts it as not sent. Ends the program at `pass`. */
export function emitReportEvent(
	p: ProgramBuilder,
	{ ring, event, flow }: Report,
	pass: ReturnType<ProgramBuilder["label"]>,
): void {
	const control = p.map(CONTROL_MAP);
	if (flow !== undefined) {
		p.comment("a flow that has been reported?");
		using seen = p.call("bpf_map_lookup_elem", [p.map(flow.map), flow.key], "seen");
		p.gotoIf(seen, "!=", 0, pass);
	}
	const leftOut = p.label("left out");
	p.comment("may more be said now?");
	{
		using pointer = p.mapValue(control);
		const { credit } = view(pointer, CONTROL);
		p.gotoIf(credit, "s<=", 0, leftOut);
		p.comment("one less");
		using less = p.u64("-1").set(-1);
		p.atomicAdd(credit, less);
	}
	p.comment("when");
	{
		using now = p.call("bpf_ktime_get_ns", [], "now");
		p.store(event.time, now);
	}
	p.comment("send the event");
	{
		const all = whole(event);
		using failed = p.call("bpf_ringbuf_output", [p.map(ring), all, all.field.bytes, 0], "failed");
		p.gotoIf(failed, "!=", 0, leftOut);
	}
	if (flow !== undefined) {
		p.comment("remember the flow");
		p.run("bpf_map_update_elem", [flow.map, flow.key, event._pad, BPF_ANY]);
	}
	p.comment("the packet goes on as it came");
	p.goto(pass);
	p.place(leftOut);
	p.comment("count what is not said");
	{
		using pointer = p.mapValue(control);
		using one = p.u64("1").set(1);
		p.atomicAdd(view(pointer, CONTROL).leftOut, one);
	}
	p.goto(pass);
}
