/**
 * Connections that take the way of a director's packets: to a real server's own address, marked with the code of a VIP, and
 * answered by the VIP if the real server has its rule. For health checks, and for whoever asks one real server for a VIP.
 *
 *     using path = VipPath.open({ connections: 256 });
 *     using connection = path.connect({ vip, real, dscp, port });
 *     … watchWritable(connection.fd, …), connection.outcome()
 *
 * A program at tc ingress of this host's interfaces brings the answers to the sockets (program.ts). It holds by links and is
 * gone with the process; before Linux 6.6 it is a filter of clsact, which a killed process leaves behind without effect.
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

/** A real server as a VIP of it is asked. */
export interface PathTarget {
	readonly vip: Address;
	/** Of the VIP's family. */
	readonly real: Address;
	readonly dscp: Dscp;
	/** TCP port of the VIP. */
	readonly port: number;
}

/**
 * How a connection stands. `by`: from which address the answer came that decided; `nobody` where none did (an ICMP error, a
 * local refusal).
 */
export type PathOutcome =
	| { readonly kind: "connected"; readonly by: "vip" | "real" | "nobody" }
	| { readonly kind: "failed"; readonly by: "vip" | "real" | "nobody"; readonly errno: number };

export interface PathOptions {
	/** How many connections there can be at a time, at most 65,535. */
	readonly connections: number;
	/** Where answers come in; default: every interface that packets can come in by. */
	readonly interfaces?: readonly string[];
	/** Where the program is; default: tcx, where the kernel has it (6.6). */
	readonly hook?: PathHook;
}

export type PathHook = "tcx" | "clsact";

interface Hold extends Disposable {
	readonly index: number;
}

/** The source address towards a real server is looked up again after so long. */
const SOURCE_AGE_MS = 5000;

export class VipPath implements Disposable {
	readonly #programs: ReadonlyMap<number, Program>;
	readonly #memory: MappedMemory;
	readonly #options: PathOptions;
	#holds: readonly Hold[] = [];
	readonly #free: number[];
	#isRetired = false;
	readonly #sources = new Map<string, { readonly address: Address; readonly until: number }>();

	/** Throws KERNEL_*; then nothing is left. */
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

	/** Looks at the interfaces again: for when some have come, gone or changed. Throws KERNEL_*. */
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

	/** Disposes of itself when the last connection has ended. */
	retire(): void {
		this.#isRetired = true;
		this.#disposeRetired();
	}

	/** Room for further connections. */
	get room(): number {
		return this.#free.length;
	}

	/**
	 * Begins to connect. Throws SyscallError of why this host cannot: ENETUNREACH without a route. RangeError when there is
	 * no {@link room}.
	 */
	connect(target: PathTarget): PathConnection {
		const local = this.#sourceFor(target);
		let socket: StreamSocket;
		try {
			socket = new StreamSocket(local.bytes, tosOfDscp(target.dscp));
		} catch (error) {
			this.#sources.delete(target.real.text); // it has lost the address
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

	/** A slave's packets come to its master as well, and loopback's never leave this host. */
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
		// A store that no processor sees before those of the entry.
		Atomics.store(new Uint16Array(buffer, byteOffset + port * PORT.size, 1), 0, number);
	}
}

/** One connection; disposing of it ends it by a RST, unless it was released. */
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

	/** To wait for (`watchWritable`) until there is an {@link outcome}. */
	get fd(): number {
		return this.#socket.fd;
	}

	/** Undefined while the connection is under way. Asked once: afterwards a failure is forgotten. */
	outcome(): PathOutcome | undefined {
		const state = this.#socket.state();
		if (state.state === "connecting") return undefined;
		const by = this.answeredBy;
		return state.state === "failed" ? { kind: "failed", by, errno: state.errno } : { kind: "connected", by };
	}

	/** Who has answered so far. On the way through two interfaces an answer of the VIP looks like the real's the second time. */
	get answeredBy(): "vip" | "real" | "nobody" {
		const { fromVip, fromReal } = CONNECTION.decode(this.#entry);
		return fromVip !== 0 ? "vip" : fromReal !== 0 ? "real" : "nobody";
	}

	/**
	 * The descriptor, for a socket of Node: the caller closes it. The connection must not be disposed of before, or answers
	 * come to it no longer.
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

/** An address in the room of either family. */
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

/** Undefined for an interface that has gone since it was listed. */
function unlessGone<T>(work: () => T): T | undefined {
	try {
		return work();
	} catch (error) {
		if (error instanceof SyscallError && error.errno === ERRNO.ENODEV) return undefined;
		throw error;
	}
}

/** Filters that killed processes have left behind are taken away; for the one process that checks for long. */
export function removeLeftFilters(): void {
	const withIngress = interfacesWithIngress();
	for (const on of listInterfaces())
		if (withIngress.has(on.index)) detachFilter(on, ({ name }) => name === PROGRAM_NAME);
}

function detachFilter(on: NetInterface, isWanted: (filter: ClsactAttached) => boolean): void {
	for (const filter of clsactIngress.query(on)) if (isWanted(filter)) clsactIngress.detach(on, filter);
	removeEmptyClsact(on);
}
