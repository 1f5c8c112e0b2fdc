/**
 * Watches the eBPF datapath: a reporting program runs before each of our programs, generated from the rules
 * that the running program carries (rewrite/ebpf/compile/report.ts). A link holds it, so it disappears with
 * this process, however that ends.
 */
import { BpfError, Program, type ProgramId, probeFeature, requireFeature, TcxLink } from "@l3dsr/bpf";
import { ERRNO, type NetInterface, SyscallError } from "@l3dsr/linux";
import { type Address, addressFromBytes, dscpOfTos } from "@l3dsr/packet";
import { describeMissing } from "../../host/capabilities.ts";
import type { Rule } from "../../model/rule.ts";
import { FLOWS_MAP, hasNoProtocol, REPORT_EVENT } from "../../rewrite/ebpf/compile/report.ts";
import { compileReport } from "../../rewrite/ebpf/compile/report-program.ts";
import { missingForPrograms } from "../../rewrite/ebpf/kernel/access.ts";
import { type Attachment, Attachments, type HookName, PLACES } from "../../rewrite/ebpf/kernel/attachment.ts";
import { ReportChannel } from "./report-channel.ts";
import type { Receive, Rewriting, Watcher, WatchOptions } from "./sighting.ts";

type ReportEvent = ReturnType<typeof REPORT_EVENT.decode>;

/** A reporting program that runs before one of ours. */
interface Held {
	readonly interface: NetInterface;
	/** Hook of our program. */
	readonly hook: HookName;
	readonly programId: ProgramId;
	readonly link: TcxLink;
	readonly rules: ReadonlyMap<number, Rule>;
}

export class EbpfWatcher implements Watcher {
	readonly #options: WatchOptions;
	/** Created when there is something to watch. */
	#channel: ReportChannel<ReportEvent> | undefined;
	/** By the origin in its events. */
	readonly #held = new Map<number, Held>();
	#origins = 0;
	/** Seen while the rules changed. */
	#doubtful = 0n;
	#stale = false;
	#notes: readonly string[] = [];

	/** Nothing is attached before the first refresh. */
	constructor(options: WatchOptions) {
		this.#options = options;
	}

	get leftOut(): bigint {
		return (this.#channel?.leftOut ?? 0n) + this.#doubtful;
	}

	get stale(): boolean {
		return this.#stale;
	}

	get places(): number {
		return this.#held.size;
	}

	get notes(): readonly string[] {
		return this.#notes;
	}

	read(receive: Receive): void {
		// Both clocks are CLOCK_MONOTONIC, which the programs' time is too.
		const epochMs = Date.now() - Number(process.hrtime.bigint()) / 1e6;
		const events = this.#channel?.read() ?? [];
		// A program that still runs has run all the time, so these events come from it.
		if (events.length > 0) this.#letGoOfReplaced();
		for (const event of events) {
			const held = this.#held.get(event.origin);
			const rule = held?.rules.get(event.slot);
			if (held === undefined || rule === undefined) this.#doubtful++;
			else receive(sightingOf(event, epochMs + Number(event.time) / 1e6, held.interface.name, rule));
		}
	}

	async refresh(receive: Receive): Promise<void> {
		const missing = missingForPrograms();
		if (missing !== undefined) {
			this.#notes = [`eBPF programs are not watched: ${describeMissing(missing)}`];
			return;
		}
		using attachments = Attachments.find();
		const asked = this.#options.filter.interface;
		const wanted = attachments.ours.filter((one) => asked === undefined || one.interface.name === asked);
		const notes: string[] = [];
		this.read(receive);
		this.#letGoOfReplaced();
		this.#stale = false;
		for (const attachment of wanted) {
			const { program } = attachment;
			const { name } = attachment.interface;
			if (PLACES[attachment.hook].program === "xdp") {
				const canAtTc = probeFeature("tcx").answer === "yes";
				notes.push(
					`the rules of ${name} run at ${PLACES[attachment.hook].name}, which has one program for each interface: ` +
						"no second program can run before it, and a reporting program in its place would stay attached if the watcher were killed; " +
						`watch their counters with l3dsr status --watch${canAtTc ? ", or move them to hook: tc while you watch" : ""}`,
				);
				continue;
			}
			if ([...this.#held.values()].some((held) => held.programId === program.info.id)) continue;
			try {
				this.#hold(attachment);
			} catch (error) {
				if (isGone(error)) {
					this.#stale = true; // replaced between the query and the link
					continue;
				}
				if (!(error instanceof BpfError) || error.code !== "FEATURE") throw error;
				notes.push(`the rules of ${name} cannot be watched: ${error.message}`);
			}
		}
		this.#notes = notes;
	}

	/** Removes reporting programs whose subject no longer runs. */
	#letGoOfReplaced(): void {
		for (const [origin, held] of this.#held) {
			if (isAttached(held)) continue;
			held.link[Symbol.dispose]();
			this.#held.delete(origin);
			this.#stale = true;
		}
	}

	#hold({ hook, interface: on, program: ours, rules }: Attachment): void {
		if (rules.rules.length === 0) return;
		// The newest feature needed here.
		requireFeature("tcx", "look on in front of them");
		this.#channel ??= new ReportChannel({ event: REPORT_EVENT, flows: FLOWS_MAP }, this.#options);
		const { maps, ringSpec } = this.#channel;
		const origin = ++this.#origins;
		const report = { ...this.#options, origin };
		const spec = compileReport(rules, on.ethernet ? 14 : 0, report, ringSpec);
		using program = Program.load(spec, { maps });
		// clsact runs after all of tcx.
		const position = hook === "tcx" ? { before: ours.info.id } : "last";
		this.#held.set(origin, {
			interface: on,
			hook,
			programId: ours.info.id,
			link: TcxLink.attach(on, program, { position }),
			rules: new Map(rules.rules.map(({ slot, rule }) => [slot, rule])),
		});
	}

	[Symbol.dispose](): void {
		for (const { link } of this.#held.values()) link[Symbol.dispose]();
		this.#held.clear();
		this.#channel?.[Symbol.dispose]();
	}
}

function isAttached({ hook, interface: on, programId }: Held): boolean {
	try {
		return PLACES[hook].query(on).includes(programId);
	} catch (error) {
		if (isGone(error)) return false;
		throw error;
	}
}

/** The interface or the program no longer exists. */
function isGone(error: unknown): boolean {
	return error instanceof SyscallError && (error.errno === ERRNO.ENODEV || error.errno === ERRNO.ENOENT);
}

function sightingOf(event: ReportEvent, timeMs: number, name: string, rule: Rule): Rewriting {
	const address = (bytes: Uint8Array): Address =>
		addressFromBytes(event.version === 4 ? bytes.subarray(0, 4) : bytes);
	const { sourcePort, destinationPort } = event;
	return {
		timeMs,
		by: "rule",
		datapath: "ebpf",
		interface: name,
		client: address(event.source),
		real: address(event.real),
		vip: address(event.vip),
		dscp: dscpOfTos(event.tos),
		...(hasNoProtocol(event.protocol) ? {} : { protocol: event.protocol }),
		...(sourcePort === 0 && destinationPort === 0
			? {}
			: { ports: { client: sourcePort, destination: destinationPort } }),
		bytes: event.length,
		rule,
	};
}
