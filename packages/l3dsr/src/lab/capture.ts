/** Captures what passes a host's interfaces, both ways, until it is asked for it. */
import { PacketSocket } from "@l3dsr/linux";
import { type Sighting, sightingOf } from "./sighting.ts";

const ETHERNET_HEADER_BYTES = 14;

/**
 * Enough for the lab's downloads twice over: nothing is read before it is asked for, and a frame counts
 * with all the memory that it occupies.
 */
const RECEIVE_BUFFER_BYTES = 64 << 20;

export interface CaptureReport {
	readonly sightings: readonly Sighting[];
	/** Frames that passed and were not captured, for want of room. */
	readonly dropped: number;
}

export class Capture implements Disposable {
	readonly #sockets: PacketSocket[] = [];

	/** Throws SyscallError when one of the interfaces cannot be listened on; none is then. */
	constructor(devices: readonly string[]) {
		try {
			for (const interfaceName of devices) {
				this.#sockets.push(new PacketSocket({ interfaceName, receiveBufferBytes: RECEIVE_BUFFER_BYTES }));
			}
		} catch (error) {
			this[Symbol.dispose]();
			throw error;
		}
	}

	/** Everything that has passed since the last call, device by device, in the order in which it did. */
	take(): CaptureReport {
		const sightings: Sighting[] = [];
		let dropped = 0;
		for (const socket of this.#sockets) {
			for (let frame = socket.receive(); frame !== undefined; frame = socket.receive()) {
				const direction = frame.packetType === "outgoing" ? "out" : "in";
				const packet = frame.bytes.subarray(ETHERNET_HEADER_BYTES);
				const sighting = sightingOf(packet, socket.interfaceName, direction);
				if (sighting !== undefined) sightings.push(sighting);
			}
			dropped += socket.takeDropped();
		}
		return { sightings, dropped };
	}

	[Symbol.dispose](): void {
		for (const socket of this.#sockets.splice(0)) socket[Symbol.dispose]();
	}
}
