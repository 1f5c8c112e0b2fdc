/** Entries in the journal of a real systemd-journald, as journalctl prints them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { run } from "../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../test/support/node.ts";
import { RecordLog } from "../../src/agent/record-log.ts";

const folder = mkdtempSync(join(tmpdir(), "l3dsr-journald-"));
after(() => rmSync(folder, { recursive: true }));

/** In its own mount namespace, so that neither its socket nor its files are those of this machine. */
const SCRIPT = `set -e
mount -t tmpfs run /run
mkdir -p /run/systemd/journal
/usr/lib/systemd/systemd-journald 2>/dev/null &
trap "kill $!" EXIT
timeout 20 sh -c 'until [ -S /run/systemd/journal/socket ]; do sleep 0.05; done'
"$@"
journal() { journalctl --quiet --no-pager --directory=/run/log/journal --unit=l3dsr "$@"; }
timeout 20 sh -c 'until journalctl --quiet --directory=/run/log/journal --unit=l3dsr 2>/dev/null | grep -q .; do sleep 0.05; done'
journal --output=cat
echo ===
journal --output=json L3DSR_CAUSE=vip-addresses
`;

test("journalctl -u l3dsr prints a record as sentences, and filters by its fields", () => {
	const record = new RecordLog(() => new Date(0)).write({
		kind: "repaired",
		triggers: ["address"],
		cause: {
			kind: "vip-addresses",
			suspects: ["a manual command or a script"],
			by: { process: 812, program: "ip" },
		},
		drift: [{ kind: "address-missing", object: "192.0.2.10 on lo", problem: "is not there" }],
		steps: [{ kind: "add-address", subjects: ["web"], commands: ["ip address add 192.0.2.10/32 dev lo"] }],
		warnings: [],
		tookMs: 45.4,
		verifiedMs: 71.2,
	});
	const writer = join(folder, "write.ts");
	const journal = new URL("../../src/agent/journal.ts", import.meta.url).href;
	writeFileSync(
		writer,
		`import { Journal } from "${journal}";
using journal = new Journal();
if (!journal.write(${JSON.stringify(record)})) throw new Error("the journal takes no record");
`,
	);
	const command = [process.execPath, ...FROM_SOURCE, writer];
	const printed = run("unshare", "--mount", "sh", "-c", SCRIPT, "sh", ...command);
	const [text = "", json = ""] = printed.split("===\n");
	assert.equal(
		text,
		`repaired in 45 ms: 192.0.2.10 on lo is not there
changed by: ip, process 812
likely cause: a manual command or a script
done: ip address add 192.0.2.10/32 dev lo
`,
	);
	const entry = JSON.parse(json);
	assert.deepEqual([entry.PRIORITY, entry.L3DSR_OBJECT], ["5", "192.0.2.10 on lo"]);
	assert.deepEqual(JSON.parse(entry.L3DSR_RECORD), record);
});
