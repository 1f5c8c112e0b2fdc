/**
 * Watches the director with another program, at the exit of its program at XDP or after it at tcx
 * (balance/compile/report-program.ts). A link holds it, so it disappears with this process, however that ends. Each
 * event is a packet as it left; the tables tell which VIP it was for.
 */
import { ExitLink, Program, type ProgramId, TcxLink, XDP_ACTION } from "@l3dsr/bpf";
import { ERRNO, type NetInterface, SyscallError } from "@l3dsr/linux";
import { addressFromBytes, dscpOfTos, parsePacket } from "@l3dsr/packet";
import { compileDirectorReport, LEFT_EVENT, LEFT_FLOWS_MAP } from "../../balance/compile/report-program.ts";
import { type Attachment, findAttachments, mapsOf } from "../../balance/kernel/attachments.ts";
import { SharedTables } from "../../balance/kernel/shared-tables.ts";
import { describeMissing } from "../../host/capabilities.ts";
import { missingForPrograms } from "../../rewrite/ebpf/kernel/access.ts";
import { PLACES, withoutVanished } from "../../rewrite/ebpf/kernel/attachment.ts";
import { asLongAsItSays } from "./cut-packet.ts";
import { DirectedVips } from "./directed-vips.ts";
import { ReportChannel } from "./report-channel.ts";
import type { Forwarding, Receive, Watcher, WatchOptions } from "./sighting.ts";

type LeftEvent = ReturnType<typeof LEFT_EVENT.decode>;

/** A reporting program attached to one of ours. */
interface Held {
	readonly interface: NetInterface;
	readonly programId: ProgramId;
	/** The codes that it was compiled for. */
	readonly codes: string;
	readonly link: Disposable;
}

export class DirectorWatcher implements Watcher {
	readonly #options: WatchOptions;
	/** Created when there is something to watch. */
	#channel: ReportChannel<LeftEvent> | undefined;
	/** By the origin in its events. */
	readonly #held = new Map<number, Held>();
	#origins = 0;
	#vips = new DirectedVips();
	/** Packets that left for a real server that is not in the tables, or for one of several VIPs. */
	#doubtful = 0n;
	#notes: readonly string[] = [];
	/** Never true: the tables show when programs change, and a replaced program releases its reporting program. */
	readonly stale = false;

	/** Nothing is attached before the first refresh. */
	constructor(options: WatchOptions) {
		this.#options = options;
	}

	get leftOut(): bigint {
		return (this.#channel?.leftOut ?? 0n) + this.#doubtful;
	}

	get places(): number {
		return this.#held.size;
	}

	get notes(): readonly string[] {
		return this.#notes;
	}

	read(receive: Receive): void {
		const epochMs = Date.now() - Number(process.hrtime.bigint()) / 1e6;
		for (const event of this.#channel?.read() ?? []) {
			const held = this.#held.get(event.origin);
			const sighting = held === undefined ? undefined : this.#sightingOf(event, held, epochMs);
			const { vip } = this.#options.filter;
			if (sighting !== undefined && (vip === undefined || vip.text === sighting.vip.text)) receive(sighting);
		}
	}

	refresh(receive: Receive): Promise<void> {
		this.read(receive);
		const missing = missingForPrograms();
		this.#notes =
			missing === undefined ? this.#follow() : [`the director is not watched: ${describeMissing(missing)}`];
		return Promise.resolve();
	}

	/** Returns what cannot be watched. */
	#follow(): readonly string[] {
		const attachments = findAttachments();
		try {
			const asked = this.#options.filter.interface;
			const wanted = attachments.filter((one) => asked === undefined || one.interface.name === asked);
			const running = new Set(wanted.map(({ program }) => program.info.id));
			for (const [origin, { programId }] of this.#held) if (!running.has(programId)) this.#letGo(origin);
			if (wanted.length === 0) return [];
			this.#vips = vipsOf(wanted);
			return wanted.flatMap((one) => this.#look(one) ?? []);
		} finally {
			for (const one of attachments) one[Symbol.dispose]();
		}
	}

	/** Attaches a reporting program to one program. Returns the reason if that is not possible. */
	#look(attachment: Attachment): string | undefined {
		const { hook, interface: on, program, settings } = attachment;
		const cannot = (why: string) =>
			`the director at ${PLACES[hook].name} of ${on.name} cannot be watched: ${why}`;
		if (settings === undefined) return cannot("another version of l3dsr attached it; run l3dsr up");
		const codes = this.#codes();
		const text = [...codes].sort((a, b) => a - b).join();
		const known = [...this.#held].find(([, { programId }]) => programId === program.info.id);
		if (known !== undefined) {
			if (known[1].codes === text) return undefined;
			this.#letGo(known[0]);
		}
		if (codes.size === 0) return undefined;
		if (hook === "clsact")
			return cannot("nothing can stand behind a program at clsact; it needs Linux >= 6.6, with tcx");
		if (settings.hook === "xdp" && !program.info.isTraceable)
			return cannot("an earlier version of l3dsr attached it, or a kernel without BTF runs; run l3dsr up");
		this.#channel ??= new ReportChannel({ event: LEFT_EVENT, flows: LEFT_FLOWS_MAP }, this.#options);
		const { maps, ringSpec } = this.#channel;
		const origin = ++this.#origins;
		const { client } = this.#options.filter;
		const report = { origin, codes, flows: this.#options.flows, ...(client === undefined ? {} : { client }) };
		const spec = compileDirectorReport(settings, report, ringSpec);
		try {
			using looking = Program.load(spec, { maps, ...(settings.hook === "xdp" ? { traces: program } : {}) });
			const link =
				settings.hook === "xdp"
					? ExitLink.attach(looking)
					: TcxLink.attach(on, looking, { position: { after: program.info.id } });
			this.#held.set(origin, { interface: on, programId: program.info.id, codes: text, link });
			return undefined;
		} catch (error) {
			if (!(error instanceof SyscallError)) throw error;
			const policy = error.errno === ERRNO.EPERM ? "; a security policy here forbids to trace programs" : "";
			return cannot(`${error.message}${policy}`);
		}
	}

	/** The codes of the VIPs that the filter selects. */
	#codes(): ReadonlySet<number> {
		const { dscp: asked, vip } = this.#options.filter;
		return new Set(this.#vips.codes(vip).filter((code) => asked === undefined || code === asked));
	}

	/** Undefined if the packet was not forwarded: it came with a code and was passed on. */
	#sightingOf(event: LeftEvent, { interface: { name } }: Held, epochMs: number): Forwarding | undefined {
		const bytes = event.packet.subarray(0, event.length);
		const packet = parsePacket(asLongAsItSays(bytes));
		if (typeof packet === "string") return undefined;
		const dscp = dscpOfTos(packet.tos);
		const vip = this.#vips.find(packet, bytes, dscp);
		const isSent = event.verdict === XDP_ACTION.TX || event.verdict === XDP_ACTION.REDIRECT;
		if (typeof vip === "string") {
			if (isSent || vip === "several") this.#doubtful++;
			return undefined;
		}
		const { transport } = packet;
		const at =
			transport?.portsPresent === true && transport.protocol === packet.protocol
				? transport.offset
				: undefined;
		const word = (offset: number) => ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
		return {
			by: "director",
			timeMs: epochMs + Number(event.time) / 1e6,
			interface: name,
			client: addressFromBytes(packet.source),
			vip,
			real: addressFromBytes(packet.destination),
			dscp,
			...(packet.protocol === undefined ? {} : { protocol: packet.protocol }),
			...(at === undefined || at + 4 > bytes.length
				? {}
				: { ports: { client: word(at), destination: word(at + 2) } }),
			bytes: packet.length,
			way:
				event.verdict === XDP_ACTION.TX
					? "back"
					: event.verdict === XDP_ACTION.REDIRECT
						? "redirect"
						: "kernel",
		};
	}

	#letGo(origin: number): void {
		this.#held.get(origin)?.link[Symbol.dispose]();
		this.#held.delete(origin);
	}

	[Symbol.dispose](): void {
		for (const origin of [...this.#held.keys()]) this.#letGo(origin);
		this.#channel?.[Symbol.dispose]();
	}
}

/** From all running tables: after an interrupted change there may be two. */
function vipsOf(attachments: readonly Attachment[]): DirectedVips {
	return new DirectedVips(
		attachments.flatMap((attachment) => {
			if (attachment.settings === undefined) return [];
			const place = `${attachment.program.name} of ${attachment.interface.name}`;
			using tables = withoutVanished(() => SharedTables.open(mapsOf(attachment), place));
			return tables?.services() ?? [];
		}),
	);
}
