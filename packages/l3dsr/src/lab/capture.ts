/** Captures the packets on a host's interfaces, in both directions, until they are taken. */
import { PacketSocket } from "@l3dsr/linux";
import { type Sighting, sightingOf } from "./sighting.ts";

const ETHERNET_HEADER_BYTES = 14;

/**
 * Twice what the lab's downloads need: nothing is read before it is taken, and a frame counts with all the memory it
 * occupies.
 */
const RECEIVE_BUFFER_BYTES = 64 << 20;

export interface CaptureReport {
	readonly sightings: readonly Sighting[];
	/** Frames lost for lack of buffer space. */
	readonly dropped: number;
}

export class Capture implements Disposable {
	readonly #sockets: PacketSocket[] = [];

	/** Throws SyscallError if one of the interfaces cannot be captured; then none is. */
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

	/** Everything captured since the last call, device by device, in order. */
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
