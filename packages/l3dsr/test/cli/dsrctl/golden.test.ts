/** Tables, messages and exit codes of dsrctl on the real kernel, with services in raw and in mangle. */
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, before, describe, test } from "node:test";
import { enterNetns } from "../../../../../test/support/netns.ts";
import { assertGolden } from "../../golden.ts";
import { makeEtcPrivate } from "./private-etc.ts";
import { SCENARIOS } from "./scenarios.ts";
import { transcript } from "./transcript.ts";

enterNetns();
makeEtcPrivate();

const directory = mkdtempSync(`${tmpdir()}/l3dsr-dsrctl-`);

before(() => {
	process.chdir(directory);
	appendFileSync(
		"/etc/hosts",
		"192.0.2.80 www.dsr.test\n192.0.2.81 ftp.dsr.test\n2001:db8::6 six.dsr.test\n",
	);
	// No name server: names that are not in /etc/hosts are unknown, without a wait.
	writeFileSync("/etc/resolv.conf", "");
});
after(() => {
	process.chdir("/");
	rmSync(directory, { recursive: true });
});

describe("with services in raw", () => {
	for (const [name, scenario] of Object.entries(SCENARIOS)) {
		test(scenario.title, async () => {
			assertGolden(`dsrctl/${name}.txt`, `# ${scenario.title}\n${await transcript(scenario, "raw")}`);
		});
	}
});

describe("with services in mangle", () => {
	before(() => {
		mkdirSync("/etc/l3dsr", { recursive: true });
		writeFileSync("/etc/l3dsr/l3dsr.yaml", "table: mangle\n");
	});
	after(() => rmSync("/etc/l3dsr", { recursive: true }));
	for (const [name, scenario] of Object.entries(SCENARIOS)) {
		// Its steps name both tables, so their output differs between mangle and raw.
		const golden = scenario.steps.some((step) => /-t (raw|mangle)/.test(step)) ? `${name}.mangle` : name;
		test(scenario.title, async () => {
			const text = await transcript(scenario, "mangle");
			const expected = `# ${scenario.title}\n${text}`;
			if (golden !== name) assertGolden(`dsrctl/${golden}.txt`, expected);
			else assertGolden(`dsrctl/${name}.txt`, asInRaw(expected));
		});
	}
});

/** The text converted to that of services in raw. */
function asInRaw(text: string): string {
	return text
		.replaceAll(/ -t mangle /g, " -t raw ")
		.replaceAll(/^(ipv[46]) mangle -A PREROUTING/gm, "$1 raw -A PREROUTING")
		.replaceAll(/ iptbl {2}src$/gm, " iptbl src")
		.replaceAll(/ ={6} ={4}$/gm, " ===== ====")
		.replaceAll(/ mangle (conf|disc)$/gm, " raw   $1")
		.replaceAll(/ -- {5}(conf|disc)$/gm, " --    $1");
}

test("there are at least forty configurations", () => {
	assert(Object.keys(SCENARIOS).length >= 40);
});
