/** The entries for the journal and the service manager, byte by byte. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeJournalEntry, MESSAGE_ID } from "../../src/agent/journal.ts";
import { RecordLog } from "../../src/agent/record-log.ts";

/** Fields of an entry in order, as the journal reads them. */
function fieldsOf(entry: Uint8Array): [name: string, value: string][] {
	const bytes = Buffer.from(entry);
	const fields: [string, string][] = [];
	for (let at = 0; at < bytes.length; ) {
		const lineEnd = bytes.indexOf(0x0a, at);
		const line = bytes.toString("utf8", at, lineEnd);
		const equals = line.indexOf("=");
		if (equals >= 0) {
			fields.push([line.slice(0, equals), line.slice(equals + 1)]);
			at = lineEnd + 1;
			continue;
		}
		const length = Number(bytes.readBigUInt64LE(lineEnd + 1));
		const start = lineEnd + 9;
		fields.push([line, bytes.toString("utf8", start, start + length)]);
		assert.equal(bytes[start + length], 0x0a);
		at = start + length + 1;
	}
	return fields;
}

const record = new RecordLog(() => new Date(0)).write({
	kind: "repaired",
	triggers: ["ruleset"],
	cause: { kind: "rules", suspects: ["a script\u001b[2J\u202e"], by: { process: 7, program: "nft" } },
	drift: [{ kind: "rule-missing", object: "a rule of web", problem: "is missing" }],
	steps: [],
	warnings: [],
	tookMs: 41.25,
	verifiedMs: 60.5,
});

test("an entry has the sentences, the fields to filter by, and the whole record", () => {
	const fields = new Map(fieldsOf(encodeJournalEntry(record)));
	assert.equal(
		fields.get("MESSAGE"),
		"repaired in 41 ms: a rule of web is missing\nchanged by: nft, process 7\nlikely cause: a script\\u001b[2J\\u202e",
	);
	assert.deepEqual(
		["PRIORITY", "SYSLOG_IDENTIFIER", "L3DSR_KIND", "L3DSR_CAUSE", "L3DSR_OBJECT", "L3DSR_BY_PID"].map(
			(name) => fields.get(name),
		),
		["5", "l3dsr", "repaired", "rules", "a rule of web", "7"],
	);
	assert.deepEqual(JSON.parse(fields.get("L3DSR_RECORD") ?? ""), record);
});

test("a record that is too large for a datagram is sent without its JSON, but with its sentences", () => {
	const entry = encodeJournalEntry(record, 600);
	const names = fieldsOf(entry).map(([name]) => name);
	assert(names.includes("MESSAGE") && !names.includes("L3DSR_RECORD"));
});

test("each kind of record has its own message id, 128 bits in the journal's format", () => {
	const ids = Object.values(MESSAGE_ID);
	assert.equal(new Set(ids).size, ids.length);
	for (const id of ids) assert.match(id, /^[0-9a-f]{32}$/);
});
