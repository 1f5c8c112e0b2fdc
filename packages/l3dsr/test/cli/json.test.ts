import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { StandaloneName } from "@l3dsr/records";
import { Command } from "commander";
import { enterNetns, ip } from "../../../../test/support/netns.ts";
import { assertRecord } from "../../../../test/support/records.ts";
import { SUBCOMMANDS } from "../../src/cli/l3dsr.ts";
import { captureContext, l3dsr } from "./run-command.ts";

enterNetns();
ip("address add 10.0.0.5/24 dev lo");
const folder = mkdtempSync(join(tmpdir(), "l3dsr-json-"));
after(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string): string => {
	writeFileSync(join(folder, name), text);
	return join(folder, name);
};

const config = file(
	"l3dsr.yaml",
	`services:
  - { name: web, vip: 192.0.2.10, dscp: 10, protocol: [tcp, 253], interface: eth+, real: 10.0.0.0/24 }
  - { name: dns, vip: 2001:db8::10, mark: 0x10/0xff, protocol: udp, ports: [53, 8000-8099] }
  - { name: held, vip: 192.0.2.99 }
`,
);
const rules = file(
	"rules.txt",
	"*raw\n-A PREROUTING -m dscp --dscp 0x07 -j DADDR --set-daddr 192.0.2.10\nCOMMIT\n",
);
const packet = "450a001c00000000401100000a0000630a0000050035003500080000";
const capture = file("capture.pcap", "");
writeFileSync(
	capture,
	Buffer.concat([
		Buffer.from("d4c3b2a1020004000000000000000000ffff000065000000", "hex"),
		...[packet, "00"].map((hex) => {
			const bytes = Buffer.from(hex, "hex");
			const head = Buffer.alloc(16);
			head.writeUInt32LE(bytes.length, 8);
			head.writeUInt32LE(bytes.length, 12);
			return Buffer.concat([head, bytes]);
		}),
	]),
);

/** Command → what its lines are, or which other test holds them to their schemas. */
const PRINTED: Readonly<Record<string, string | readonly (readonly [args: string, ...StandaloneName[]])[]>> =
	{
		up: [
			[`up -n -c ${config} --json`, "plan"],
			[`up -c ${config} --json`, "plan"],
		],
		status: [
			[`status -c ${config} --json`, "status"],
			["status -c /nowhere/l3dsr.yaml --json", "errors"],
			["status --json", "status"],
		],
		diff: [[`diff -c ${config} --json`, "diff"]],
		check: [[`check -c ${config} --json`, "check"]],
		show: [["show --json", "show"]],
		trace: [
			[`trace -c ${config} --from 203.0.113.9 --to 10.0.0.5 --dscp 10 --tcp 80 --json`, "trace"],
			[`trace ${capture} -c ${config} --json`, "trace", "trace", "trace-summary"],
		],
		export: [[`export json -c ${config} --json`, "export"]],
		import: [[`import ${rules} --json`, "import"]],
		version: [["version --json", "version"]],
		down: [["down --json", "plan"]],
		drain: "director/hold.test.ts",
		enable: "director/hold.test.ts",
		disable: "director/hold.test.ts",
		probe: "probe.test.ts",
		watch: "watch.test.ts",
		top: "top/terminal.test.ts",
		lab: "../lab/lab-command.test.ts",
		agent: "../agent/agent-process.ts",
	};

test("each command with --json has its records here or in its own test", async () => {
	const found: string[] = [];
	for (const { name, load, hidden } of SUBCOMMANDS) {
		if (hidden === true) continue;
		const command = new Command(name);
		(await load()).define(command, captureContext().context);
		if (command.options.some(({ long }) => long === "--json")) found.push(name);
	}
	assert.deepEqual(found.sort(), Object.keys(PRINTED).sort());
	for (const [name, other] of Object.entries(PRINTED)) {
		if (typeof other !== "string") continue;
		const text = readFileSync(new URL(other, import.meta.url), "utf8");
		assert.match(text, /\bassertRecord\(/, `${other} holds the records of ${name} to their schemas`);
		assert.ok(text.includes(`"${name}"`), `${other} runs ${name}`);
	}
});

for (const [name, lines] of Object.entries(PRINTED)) {
	if (typeof lines === "string") continue;
	for (const [args, ...records] of lines) {
		test(`${args.replaceAll(`${folder}/`, "")} prints ${records.join(", ")} as the schemas describe`, async () => {
			const { stdout, stderr } = await l3dsr(...args.split(" "));
			const text = (stdout === "" ? stderr : stdout).trimEnd();
			// A single record is indented; several records are one line each.
			const printed = records.length === 1 ? [text] : text.split("\n");
			assert.equal(printed.length, records.length, `${name}: ${text}`);
			printed.forEach((one, index) => {
				const record = records[index];
				assert.ok(record !== undefined);
				assertRecord(record, one);
			});
		});
	}
}

test("a service's selection consists of values: numbers as numbers, protocols by name", async () => {
	await l3dsr("up", "-c", config);
	try {
		const { stdout } = await l3dsr("status", "-c", config, "--json");
		const { services } = assertRecord("status", stdout);
		assert.deepEqual(
			services.map(({ name, selection }) => [name, selection]),
			[
				["web", [{ dscp: 10, interfaces: ["eth+"], real: "10.0.0.0/24", protocols: ["tcp", "253"] }]],
				[
					"dns",
					[
						{
							mark: { value: 16, mask: 255 },
							protocols: ["udp"],
							ports: [
								{ first: 53, last: 53 },
								{ first: 8000, last: 8099 },
							],
						},
					],
				],
				["held", []],
			],
		);
	} finally {
		await l3dsr("down");
	}
});
