/**
 * Writes records to the systemd journal by its native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/): the
 * fields that `journalctl` selects by, and the sentences as MESSAGE.
 */
import { fstatSync } from "node:fs";
import { LinuxError, UnixDatagramSender } from "@l3dsr/linux";
import { printable } from "../printable.ts";
import type { AgentRecord, Severity } from "./record.ts";
import { recordLines } from "./record-text.ts";

const SOCKET = "/run/systemd/journal/socket";
const STDERR = 2;

/** Largest datagram; the kernel's default limit is 208 KiB. */
const MOST_BYTES = 128 * 1024;

/** Priorities of syslog(3). */
const PRIORITY: Readonly<Record<Severity, number>> = { error: 3, warning: 4, notice: 5, info: 6 };

/** One number for each kind, for `journalctl MESSAGE_ID=…` and catalogues. */
export const MESSAGE_ID: Readonly<Record<AgentRecord["kind"], string>> = {
	started: "5a8c1f2e4b7d4f0e9d3a6c1b2e5f7081",
	stopped: "8e21d7c04f9a4b6cb0f35d9e1a7c2466",
	configured: "c3b0f6a92d1e4c7f8a54e9d0b7163f2d",
	repaired: "1f7e9b3c6a0d4e52b8c4d2f1a9076e35",
	failed: "d94a2c7be1f34608a3c57f0e6b8d1294",
	recovered: "72b5e0d18c3f49a6be17c4a9f2d30658",
	"configuration-refused": "e6c91a7f03d84b2d9f40b5c8a1e27d63",
	"configuration-restored": "4d0f8b2a6e9c47138b7ea5d1c3f6e920",
	contention: "b7a3e5c1d04f4296ae8d3f0b9c6172e4",
	"contention-over": "29c6d8f7e1b04a35c0a9b4e7d2f51836",
	held: "97e4b1d0c5a24f83b6d27ce8f0a3591b",
	released: "0c5d7a9e3f1b4682d4e8b0c6a7f29351",
	health: "3ad15e7c90b84f2e86c1f9d04b7e2a65",
	"upkeep-failed": "a60f3c92e8d74b15b9e27d41c0f86a3e",
	"upkeep-recovered": "f18b7e24d3c0496a9d5c02e6b8a1f743",
};

/**
 * The unit that `journalctl -u UNIT` shows the records under. Root's messages about a unit count as the unit's own,
 * so both units of this package report about the host.
 */
const UNIT = "l3dsr.service";

/** A record's datagram. If the record's JSON does not fit, it is left out; the sentences never are. */
export function encodeJournalEntry(record: AgentRecord, mostBytes: number = MOST_BYTES): Uint8Array {
	const fields: [name: string, value: string][] = [
		["MESSAGE", printable(recordLines(record).join("\n"), "plain")],
		["PRIORITY", String(PRIORITY[record.severity])],
		["SYSLOG_IDENTIFIER", "l3dsr"],
		["MESSAGE_ID", MESSAGE_ID[record.kind]],
		["OBJECT_SYSTEMD_UNIT", UNIT],
		["L3DSR_KIND", record.kind],
		["L3DSR_ID", String(record.id)],
		...detailFields(record),
	];
	const entry = Buffer.concat(fields.map(([name, value]) => encodeField(name, value)));
	const whole = encodeField("L3DSR_RECORD", JSON.stringify(record));
	return entry.length + whole.length <= mostBytes ? Buffer.concat([entry, whole]) : entry;
}

/** Fields to select records by. */
function detailFields(record: AgentRecord): [name: string, value: string][] {
	const fields: [string, string][] = [];
	if ("cause" in record) {
		fields.push(["L3DSR_CAUSE", record.cause.kind]);
		if (record.cause.by !== undefined) fields.push(["L3DSR_BY_PID", String(record.cause.by.process)]);
	}
	if ("tookMs" in record) fields.push(["L3DSR_TOOK_MS", record.tookMs.toFixed(1)]);
	if ("verifiedMs" in record) fields.push(["L3DSR_VERIFIED_MS", record.verifiedMs.toFixed(1)]);
	if ("configuration" in record) fields.push(["L3DSR_CONFIGURATION", record.configuration]);
	if ("drift" in record) {
		// A journal entry may have the same field several times.
		const objects = record.drift.slice(0, MOST_OBJECTS).map(({ object }) => object);
		fields.push(...objects.map((object): [string, string] => ["L3DSR_OBJECT", object]));
	}
	if ("changes" in record) {
		const reals = new Set(record.changes.map(({ pool, real }) => `${pool}/${real}`));
		fields.push(...[...reals].slice(0, MOST_OBJECTS).map((real): [string, string] => ["L3DSR_REAL", real]));
	}
	if ("errors" in record) {
		fields.push(
			...record.errors.slice(0, MOST_OBJECTS).map((one): [string, string] => ["L3DSR_ERROR", one.code]),
		);
	}
	return fields;
}

const MOST_OBJECTS = 50;

/** A value with several lines is preceded by its length (64 bits, little endian). */
function encodeField(name: string, value: string): Uint8Array {
	const bytes = Buffer.from(value);
	if (!bytes.includes(0x0a)) return Buffer.concat([Buffer.from(`${name}=`), bytes, Buffer.of(0x0a)]);
	const length = Buffer.alloc(8);
	length.writeBigUInt64LE(BigInt(bytes.length));
	return Buffer.concat([Buffer.from(`${name}\n`), length, bytes, Buffer.of(0x0a)]);
}

export class Journal implements Disposable {
	readonly #sender: UnixDatagramSender;

	constructor(path: string = SOCKET) {
		this.#sender = new UnixDatagramSender(path);
	}

	/**
	 * False if the record could not be sent: there is no journal, it does not read, or its queue is full. Never waits.
	 */
	write(record: AgentRecord): boolean {
		try {
			return this.#sender.send(encodeJournalEntry(record));
		} catch (error) {
			if (error instanceof LinuxError) return false;
			throw error;
		}
	}

	[Symbol.dispose](): void {
		this.#sender[Symbol.dispose]();
	}
}

/**
 * Whether this process's standard error goes to the journal: compares it with the device and inode in JOURNAL_STREAM.
 */
export function isJournalOnStderr(env: Readonly<Record<string, string | undefined>>): boolean {
	const stream = env["JOURNAL_STREAM"];
	if (stream === undefined) return false;
	try {
		const { dev, ino } = fstatSync(STDERR);
		return stream === `${dev}:${ino}`;
	} catch {
		return false;
	}
}
