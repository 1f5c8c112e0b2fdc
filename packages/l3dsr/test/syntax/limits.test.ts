/**
 * Texts that are far too long: each is refused with a number, and reading takes time in proportion to its
 * length.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { L3dsrError, renderDiagnostic } from "../../src/errors.ts";
import { parseConfig } from "../../src/syntax/config/parse-config.ts";
import { conflictDiagnostics } from "../../src/syntax/config/service-conflicts.ts";
import { collectServices, describeFinding, isFault, parseDsrConf } from "../../src/syntax/dsr-conf.ts";
import { parseFleet } from "../../src/syntax/fleet/parse-fleet.ts";
import { OTHER_FAMILY, readCommand } from "../../src/syntax/iptables/command-line.ts";
import { NO_SERVICES, parseServices } from "../../src/syntax/iptables/names.ts";
import { parseRestoreFile } from "../../src/syntax/iptables/restore-file.ts";
import { readSavedRules } from "../../src/syntax/iptables/saved-rules.ts";
import { wordsOfArgv } from "../../src/syntax/iptables/words.ts";
import { LIMITS } from "../../src/syntax/limits.ts";
import { Problems } from "../../src/syntax/problems.ts";

const MEGABYTES = 10 * 1024 * 1024;
const RULE = "-A PREROUTING -m dscp --dscp 1 -j DADDR --set-daddr 192.0.2.1\n";

function refusal(read: () => unknown): L3dsrError {
	try {
		read();
	} catch (error) {
		assert.ok(error instanceof L3dsrError, String(error));
		return error;
	}
	assert.fail("it was read");
}

function restore(lines: string): () => unknown {
	const context = { family: "ipv4", source: "f", services: NO_SERVICES, counters: false } as const;
	return () => parseRestoreFile(`*raw\n${lines}COMMIT\n`, context);
}

function addresses(count: number): string {
	return Array.from({ length: count }, (_, index) => `10.0.${index >> 8}.${index & 255}`).join(",");
}

describe("a rules file", () => {
	const lines: Readonly<Record<string, string>> = {
		"one word": "x".repeat(MEGABYTES),
		words: "junk ".repeat(MEGABYTES / 5),
		matches: "-m dscp --dscp 1 ".repeat(MEGABYTES / 17),
		"an open quote": `-m comment --comment "${"x".repeat(MEGABYTES)}`,
		"a list of ports": `-p tcp -m multiport --dports ${"80,".repeat(70_000)}`,
	};
	for (const [what, line] of Object.entries(lines)) {
		test(`with 10 MB of ${what} in a line is refused at that line, which is shown in part`, () => {
			const error = refusal(restore(`-A PREROUTING ${line}\n`));
			const [first] = error.diagnostics;
			assert.match(first.message, /^the line has \d+ characters, at most 16384 are read$/);
			assert.equal(first.position?.line, 2);
			assert.ok(renderDiagnostic(first).length < 1000);
			const { rules, left } = readSavedRules(`*raw\n-A PREROUTING ${line} -j DADDR\n`, "f", NO_SERVICES);
			assert.deepEqual([rules.length, left.length], [0, 1]);
		});
	}

	test("with 10 MB of one rule is refused where the limit of rules is exceeded", () => {
		const text = RULE.repeat(MEGABYTES / RULE.length);
		const error = refusal(restore(text));
		assert.match(error.message, /^the file has more than 16384 rules$/);
		const { rules, left } = readSavedRules(`*raw\n${text}`, "f", NO_SERVICES);
		assert.equal(rules.length, LIMITS.rulesOfFile);
		assert.match(left[0]?.why ?? "", /more than 16384 rules; reading stopped here/);
	});

	test("with 10 MB of a faulty rule shows the first hundred problems", () => {
		const faulty = RULE.replace("--dscp 1", "--dscp 77");
		const { diagnostics } = refusal(restore(faulty.repeat(MEGABYTES / RULE.length)));
		assert.equal(diagnostics.length, LIMITS.problems);
		assert.deepEqual(diagnostics.at(-1)?.notes, ["these are the first 100 problems; there may be more"]);
	});
});

describe("a command line", () => {
	function read(line: string, services = NO_SERVICES): L3dsrError {
		return refusal(() => {
			const problems = new Problems();
			const command = readCommand(wordsOfArgv(line.split(" ")), { family: "ipv4", services, problems });
			problems.throwIfAny();
			assert.ok(command !== undefined && command !== OTHER_FAMILY);
		});
	}

	test("whose lists of addresses make millions of rules is refused", () => {
		const list = addresses(3000);
		const error = read(`-A PREROUTING -s ${list} -d ${list} -j DADDR --set-daddr 192.0.2.1`);
		assert.equal(error.message, "the addresses make 9000000 rules, the limit of one command is 4096");
	});

	test("with thousands of words is refused", () => {
		assert.match(
			read(`-A PREROUTING ${"-m dscp --dscp 1 ".repeat(5000)}-j DADDR`).message,
			/the limit is 1024/,
		);
	});

	test("with 70,000 names of ports is refused for their number, without resolving them", () => {
		const names = Array.from({ length: 70_000 }, (_, index) => `htp${index}`).join(",");
		const error = read(
			`-A PREROUTING -p tcp -m multiport --dports ${names} -j DADDR --set-daddr 192.0.2.1`,
			parseServices("http 80/tcp\nhttps 443/tcp\n"),
		);
		assert.equal(error.message, "too many ports specified");
	});
});

describe("l3dsr.yaml", () => {
	test("with 70,000 ports in a list is refused, with a hint to use ranges", () => {
		const ports = Array.from({ length: 70_000 }, (_, index) => 1 + (index % 65535)).join(", ");
		const text = `services:\n  - {vip: 192.0.2.1, dscp: 7, ports: [${ports}]}\n`;
		const [first] = refusal(() => parseConfig(text, "f")).diagnostics;
		assert.equal(first.message, "ports has 70000 entries, the limit is 1024");
		assert.equal(first.hint, "write ranges, such as 8000-8099");
		assert.ok(renderDiagnostic(first).length < 1000);
	});

	test("with 5,000 services of one code reports the first hundred conflicts", () => {
		const services = Array.from(
			{ length: 5000 },
			(_, index) => `  - {vip: 10.0.${index >> 8}.${index & 255}, dscp: 7}\n`,
		);
		const { placed } = parseConfig(`services:\n${services.slice(1).join("")}`, "f");
		const conflicts = conflictDiagnostics(placed);
		assert.equal(conflicts.length, LIMITS.problems);
		assert.equal(conflicts[0]?.message, "DSCP 7 already selects VIP 10.0.0.1");
		assert.match(conflicts.at(-1)?.notes?.at(-1) ?? "", /first 100 problems/);
	});

	test("that is too long or nested too deeply is refused before it is parsed", () => {
		const long = `# ${"x".repeat(LIMITS.yamlLength)}\nservices: []\n`;
		assert.match(refusal(() => parseConfig(long, "f")).message, /the limit is 2097152$/);
		const deep = refusal(() => parseConfig(`services: ${"[".repeat(100_000)}`, "f"));
		assert.equal(deep.code, "CONFIG_SYNTAX");
	});

	test("with a long list at the margin is refused for that, not for its depth", () => {
		const reals = Array.from({ length: 20_000 }, (_, n) => `{ name: r${n}, addresses: 10.1.0.1 }`);
		const [first] = refusal(() =>
			parseFleet(`vips: []\npools: { p: { reals: [\n${reals.join(",")} ] } }`, "f"),
		).diagnostics;
		assert.match(first?.message ?? "", /^flow sequence in block collection must be sufficiently indented/);
		assert.deepEqual([first?.position?.line, first?.position?.column], [3, 1]);
	});
});

describe("dsr.conf", () => {
	test("of 10 MB is refused where the limit of services is exceeded", () => {
		const line = "192.0.2.1=7\n";
		const entries = parseDsrConf("f", line.repeat(MEGABYTES / line.length));
		const { findings, services } = collectServices(entries, () => undefined);
		assert.equal(services.length, 1);
		const faults = findings.filter(isFault).map(describeFinding);
		assert.deepEqual(faults, ['Too many DSRs at "f", line 16385 (max=16384).']);
	});

	test("with 10 MB in a line reports a line that is not a service", () => {
		for (const line of [
			"1".repeat(MEGABYTES),
			`${" ".repeat(MEGABYTES)}x y`,
			`a${".a".repeat(MEGABYTES / 2)}`,
		]) {
			assert.deepEqual(
				parseDsrConf("f", line).map(({ kind }) => kind),
				["unrecognized"],
			);
		}
	});
});
