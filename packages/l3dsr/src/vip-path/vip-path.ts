/**
 * Connections along the path of a director's packets: sent to a real server's own address with the code of a VIP, and
 * answered by the VIP if the real server has its rule. Used by health checks.
 *
 *     using path = VipPath.open({ connections: 256 });
 *     using connection = path.connect({ vip, real, dscp, port });
 *     … watchWritable(connection.fd, …), connection.outcome()
 *
 * A program at tc ingress of this host's interfaces delivers the answers to the sockets (program.ts). Links hold it, so it
 * disappears with the process; before Linux 6.6 it is a clsact filter, which a killed process leaves behind without effect.
 */
import {
	type ClsactAttached,
	clsactIngress,
	interfacesWithIngress,
	Program,
	probeFeature,
	removeEmptyClsact,
	TcxLink,
} from "@l3dsr/bpf";
import {
	ERRNO,
	listInterfaces,
	type MappedMemory,
	type NetInterface,
	StreamSocket,
	SyscallError,
	sourceAddressFor,
} from "@l3dsr/linux";
import { type Address, addressFromBytes, type Dscp, tosOfDscp } from "@l3dsr/packet";
import { compilePathProgram, PROGRAM_NAME } from "./program.ts";
import { CONNECTION, CONNECTIONS_AT, checksumDifference, MOST_CONNECTIONS, PORT } from "./table.ts";

export { MOST_CONNECTIONS } from "./table.ts";

/** A real server and the VIP to connect to through it. */
export interface PathTarget {
	readonly vip: Address;
	/** In the VIP's family. */
	readonly real: Address;
	readonly dscp: Dscp;
	/** TCP port of the VIP. */
	readonly port: number;
}

/**
 * State of a connection. `by`: whose address the decisive answer came from; `nobody` if there was none (an ICMP
 * error, a local refusal).
 */
export type PathOutcome =
	| { readonly kind: "connected"; readonly by: "vip" | "real" | "nobody" }
	| { readonly kind: "failed"; readonly by: "vip" | "real" | "nobody"; readonly errno: number };

export interface PathOptions {
	/** The most connections at the same time, at most 65,535. */
	readonly connections: number;
	/** The interfaces that receive answers; default: every interface that can receive packets. */
	readonly interfaces?: readonly string[];
	/** Where to attach the program; default: tcx, if the kernel has it (6.6). */
	readonly hook?: PathHook;
}

export type PathHook = "tcx" | "clsact";

interface Hold extends Disposable {
	readonly index: number;
}

/** How long a source address for a real server is used before it is looked up again. */
const SOURCE_AGE_MS = 5000;

export class VipPath implements Disposable {
	readonly #programs: ReadonlyMap<number, Program>;
	readonly #memory: MappedMemory;
	readonly #options: PathOptions;
	#holds: readonly Hold[] = [];
	readonly #free: number[];
	#isRetired = false;
	readonly #sources = new Map<string, { readonly address: Address; readonly until: number }>();

	/** Throws KERNEL_* and leaves nothing behind. */
	static open(options: PathOptions): VipPath {
		return new VipPath(options);
	}

	private constructor(options: PathOptions) {
		const { connections } = options;
		if (connections < 1 || connections > MOST_CONNECTIONS)
			throw new RangeError(`${connections} connections at a time`);
		this.#options = options;
		this.#free = Array.from({ length: connections }, (_, n) => connections - n);
		const programs = new Map<number, Program>();
		try {
			const ipv6ChecksumFlag = probeFeature("csumReplaceIpv6").answer === "yes";
			const ethernet = Program.load(
				compilePathProgram({ connections, linkHeaderBytes: 14, ipv6ChecksumFlag }),
			);
			programs.set(14, ethernet);
			const [table] = ethernet.openMaps();
			if (table === undefined) throw new RangeError("the program has no table");
			using map = table;
			const bare = compilePathProgram({ connections, linkHeaderBytes: 0, ipv6ChecksumFlag });
			programs.set(0, Program.load(bare, { maps: new Map([[map.info.name, map]]) }));
			this.#memory = map.mapMemory({ writable: true });
			this.#programs = programs;
			this.refresh();
		} catch (error) {
			for (const program of programs.values()) program[Symbol.dispose]();
			throw error;
		}
	}

	/** Looks at the interfaces again, after one was created, deleted or changed. Throws KERNEL_*. */
	refresh(): void {
		this.#sources.clear();
		const wanted = listInterfaces().filter((one) => this.#isWanted(one));
		const kept = this.#holds.filter(({ index }) => wanted.some((one) => one.index === index));
		for (const hold of this.#holds) if (!kept.includes(hold)) hold[Symbol.dispose]();
		this.#holds = kept;
		for (const on of wanted) {
			if (kept.some(({ index }) => index === on.index)) continue;
			const program = this.#programs.get(on.ethernet ? 14 : 0);
			const hold =
				program === undefined ? undefined : unlessGone(() => attach(on, program, this.#options.hook));
			if (hold !== undefined) this.#holds = [...this.#holds, hold];
		}
	}

	/** Disposes of itself after the last connection has ended. */
	retire(): void {
		this.#isRetired = true;
		this.#disposeRetired();
	}

	/** How many further connections there is room for. */
	get room(): number {
		return this.#free.length;
	}

	/**
	 * Begins to connect. Throws SyscallError if this host cannot, such as ENETUNREACH without a route, and RangeError
	 * without {@link room}.
	 */
	connect(target: PathTarget): PathConnection {
		const local = this.#sourceFor(target);
		let socket: StreamSocket;
		try {
			socket = new StreamSocket(local.bytes, tosOfDscp(target.dscp));
		} catch (error) {
			this.#sources.delete(target.real.text); // the source address is gone
			throw error;
		}
		const number = this.#free.pop();
		if (number === undefined) {
			socket[Symbol.dispose]();
			throw new RangeError(`more than ${this.#options.connections} connections at a time`);
		}
		const entry = this.#entry(number);
		entry.set(
			CONNECTION.encode({
				vip: padded(target.vip),
				real: padded(target.real),
				local: padded(local),
				difference: checksumDifference(target.vip, target.real),
				port: target.port,
				version: target.vip.family === "ipv4" ? 4 : 6,
			}),
		);
		this.#setPort(socket.port, number);
		const connection = new PathConnection(socket, entry, () => {
			this.#setPort(socket.port, 0);
			entry.fill(0);
			this.#free.push(number);
			this.#disposeRetired();
		});
		const result = socket.connect(target.real.bytes, target.port);
		if (result === 0) return connection;
		connection[Symbol.dispose]();
		throw new SyscallError(`connect to ${target.real.text} port ${target.port}`, -result);
	}

	[Symbol.dispose](): void {
		for (const hold of this.#holds) hold[Symbol.dispose]();
		this.#holds = [];
		for (const program of this.#programs.values()) program[Symbol.dispose]();
		this.#memory[Symbol.dispose]();
	}

	#disposeRetired(): void {
		if (this.#isRetired && this.room === this.#options.connections) this[Symbol.dispose]();
	}

	#sourceFor({ real, dscp }: PathTarget): Address {
		const known = this.#sources.get(real.text);
		const now = performance.now();
		if (known !== undefined && now < known.until) return known.address;
		const address = addressFromBytes(sourceAddressFor(real.bytes, tosOfDscp(dscp)));
		this.#sources.set(real.text, { address, until: now + SOURCE_AGE_MS });
		return address;
	}

	/** A slave's packets also pass its master, and packets on the loopback never leave this host. */
	#isWanted({ name, up, loopback, master }: NetInterface): boolean {
		const { interfaces } = this.#options;
		if (interfaces !== undefined) return interfaces.includes(name);
		return up && !loopback && master === undefined;
	}

	#entry(number: number): Uint8Array {
		const at = CONNECTIONS_AT + number * CONNECTION.size;
		return this.#memory.bytes.subarray(at, at + CONNECTION.size);
	}

	#setPort(port: number, number: number): void {
		const { buffer, byteOffset } = this.#memory.bytes;
		// On every CPU, this store becomes visible only after those of the entry.
		Atomics.store(new Uint16Array(buffer, byteOffset + port * PORT.size, 1), 0, number);
	}
}

/** One connection. Disposing of it sends a RST, unless it was released. */
export class PathConnection implements Disposable {
	readonly #socket: StreamSocket;
	readonly #entry: Uint8Array;
	#close: (() => void) | undefined;

	/** Use `VipPath.connect`. */
	constructor(socket: StreamSocket, entry: Uint8Array, close: () => void) {
		this.#socket = socket;
		this.#entry = entry;
		this.#close = close;
	}

	/** The descriptor to wait for (`watchWritable`) until there is an {@link outcome}. */
	get fd(): number {
		return this.#socket.fd;
	}

	/** Undefined while the connection is in progress. Call it once: a failure is forgotten afterwards. */
	outcome(): PathOutcome | undefined {
		const state = this.#socket.state();
		if (state.state === "connecting") return undefined;
		const by = this.answeredBy;
		return state.state === "failed" ? { kind: "failed", by, errno: state.errno } : { kind: "connected", by };
	}

	/**
	 * Who has answered so far. If an answer of the VIP passes two interfaces, it looks like the real server's at the
	 * second.
	 */
	get answeredBy(): "vip" | "real" | "nobody" {
		const { fromVip, fromReal } = CONNECTION.decode(this.#entry);
		return fromVip !== 0 ? "vip" : fromReal !== 0 ? "real" : "nobody";
	}

	/**
	 * The descriptor for a Node socket; the caller closes it. Do not dispose of the connection before, or it receives
	 * no more answers.
	 */
	release(): number {
		return this.#socket.release();
	}

	[Symbol.dispose](): void {
		this.#socket[Symbol.dispose]();
		this.#close?.();
		this.#close = undefined;
	}
}

/** An address in a field for either family. */
function padded({ bytes }: Address): Uint8Array {
	const room = new Uint8Array(16);
	room.set(bytes);
	return room;
}

function bestHook(): PathHook {
	return probeFeature("tcx").answer === "yes" ? "tcx" : "clsact";
}

function attach(on: NetInterface, program: Program, hook: PathHook = bestHook()): Hold {
	if (hook === "tcx") {
		const link = TcxLink.attach(on, program, { position: "first" });
		return { index: on.index, [Symbol.dispose]: () => link[Symbol.dispose]() };
	}
	clsactIngress.attach(on, program, { priority: "first" });
	return {
		index: on.index,
		[Symbol.dispose]: () => detachFilter(on, ({ programId }) => programId === program.info.id),
	};
}

/** Undefined if the interface is gone since it was listed. */
function unlessGone<T>(work: () => T): T | undefined {
	try {
		return work();
	} catch (error) {
		if (error instanceof SyscallError && error.errno === ERRNO.ENODEV) return undefined;
		throw error;
	}
}

/** Removes the filters that killed processes have left behind. For the one long-running process that checks. */
export function removeLeftFilters(): void {
	const withIngress = interfacesWithIngress();
	for (const on of listInterfaces())
		if (withIngress.has(on.index)) detachFilter(on, ({ name }) => name === PROGRAM_NAME);
}

function detachFilter(on: NetInterface, isWanted: (filter: ClsactAttached) => boolean): void {
	for (const filter of clsactIngress.query(on)) if (isWanted(filter)) clsactIngress.detach(on, filter);
	removeEmptyClsact(on);
}
