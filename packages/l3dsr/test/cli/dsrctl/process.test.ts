/**
 * dsrctl on the kernel in other situations than one quiet run: as a process, several at once, and with
 * failures.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { enterNetns, ip, Netns, run, waitFor } from "../../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../../test/support/node.ts";
import type { DsrctlHost } from "../../../src/cli/dsrctl/host.ts";
import { L3dsrError } from "../../../src/errors.ts";
import { makeEtcPrivate } from "./private-etc.ts";
import { cleanHost, type Outcome, runCommand } from "./transcript.ts";

enterNetns();
makeEtcPrivate();

const DIRECTORY = "/etc/dsr.d";
mkdirSync(DIRECTORY, { recursive: true });

function configure(files: Readonly<Record<string, string>>): void {
	for (const [name, text] of Object.entries(files)) writeFileSync(`${DIRECTORY}/${name}`, text);
}

beforeEach(async () => {
	await cleanHost();
	configure({ "a.conf": "192.0.2.10=014\n2001:db8::1=28\n", "B c.conf": "192.0.2.11\n" });
});

/** With exactly this environment. */
async function runProcess(env: Record<string, string>, ...argv: readonly string[]): Promise<Outcome> {
	return await runFile("program.ts", env, argv);
}

/** If a signal ended it, the signal's name is at the end of stderr. */
async function runFile(file: string, env: Record<string, string>, argv: readonly string[]): Promise<Outcome> {
	const program = fileURLToPath(new URL(file, import.meta.url));
	const child = spawn(process.execPath, [...FROM_SOURCE, program, ...argv], { env });
	let stdout = "";
	let stderr = "";
	child.stdout.setEncoding("utf8").on("data", (text: string) => {
		stdout += text;
	});
	child.stderr.setEncoding("utf8").on("data", (text: string) => {
		stderr += text;
	});
	const [exitCode, signal] = (await once(child, "close")) as [number | null, string | null]; // as documented
	return { exitCode: exitCode ?? -1, stdout, stderr: stderr + (signal ?? "") };
}

const SILENT: Outcome = { exitCode: 0, stdout: "", stderr: "" };
const ROWS = {
	byBytes: ["192.0.2.11", "192.0.2.10", "2001:db8::1"],
	byLanguage: ["192.0.2.10", "2001:db8::1", "192.0.2.11"],
};

async function names(env: Record<string, string>): Promise<string[]> {
	const { stdout } = await runCommand(["dsrctl", "-x", "status"], env);
	return stdout
		.trim()
		.split("\n")
		.map((row) => row.split(/ +/)[2] ?? "");
}

describe("as a process", () => {
	test("starts, checks and stops without a PATH and with an empty one, in any locale", async () => {
		assert.deepEqual(await runProcess({}, "start"), SILENT);
		assert.deepEqual(await runProcess({ PATH: "", LC_ALL: "tr_TR.UTF-8" }, "check"), {
			...SILENT,
			stdout: "All DSRs started.\n",
		});
		assert.deepEqual(await runProcess({ PATH: "", LANG: "xx" }, "stop"), SILENT);
	});

	test("several starts at once wait for each other and leave one rule for each service", async () => {
		const starts = Array.from({ length: 3 }, () => runProcess({}, "start"));
		assert.deepEqual(await Promise.all(starts), [SILENT, SILENT, SILENT]);
		const { stdout } = await runCommand(["dsrctl", "-a", "status"]);
		assert.doesNotMatch(stdout, /Duplicate|partial|disc/);
		assert.equal((await runCommand(["dsrctl", "check"])).exitCode, 0);
	});
});

test("a signal during a start waits until the host is complete", async () => {
	const { stderr } = await runFile("interrupted-start.ts", {}, []);
	assert.equal(stderr, "SIGTERM");
	assert.equal((await runCommand(["dsrctl", "check"])).stdout, "All DSRs started.\n");
});

test("sixty services of each family are one batch of addresses and one change of the rules", async () => {
	const numbers = Array.from({ length: 60 }, (_, n) => n + 1);
	configure({ "sixty.conf": numbers.map((n) => `192.0.2.${n}=${n}\n2001:db8::${n}=${n}\n`).join("") });
	const file = `${DIRECTORY}/sixty.conf`;
	const made: string[] = [];
	const counting = (host: DsrctlHost): Partial<DsrctlHost> => ({
		async changeLoopback(steps) {
			if (steps.length > 0) made.push(`${steps.length} addresses`);
			await host.changeLoopback(steps);
		},
		async openDatapath(settings) {
			const real = await host.openDatapath(settings);
			return {
				async observe() {
					const snapshot = await real.observe();
					return {
						...snapshot,
						async change(assignment) {
							made.push(`${assignment.rules.length} rules`);
							await snapshot.change(assignment);
						},
					};
				},
			};
		},
	});
	assert.deepEqual(await runCommand(["dsrctl", "-f", file, "start"], {}, counting), SILENT);
	assert.equal((await runCommand(["dsrctl", "-f", file, "check"])).stdout, "All DSRs started.\n");
	assert.deepEqual(await runCommand(["dsrctl", "-f", file, "stop"], {}, counting), SILENT);
	assert.deepEqual(made, ["120 addresses", "120 rules", "0 rules", "120 addresses"]);
	rmSync(file);
});

test("between start and stop, the VIP answers packets that have its code", async () => {
	using director = new Netns("director");
	ip(`link add toward type veth peer name dir netns ${director.name}`);
	director.ip("address add 198.51.100.2/24 dev dir");
	director.ip("address add 2001:db8:f::2/64 dev dir nodad");
	director.ip("link set dir up");
	ip("address add 198.51.100.1/24 dev toward");
	ip("address add 2001:db8:f::1/64 dev toward nodad");
	ip("link set toward up");
	/** The address that answers a ping to the real address with this DSCP. */
	const answerer = (real: string, dscp: number) => {
		const ping = ["ping", "-n", "-c1", "-W2", "-Q", String(dscp << 2), real] as const;
		return /bytes from ([^ ]+?):? /.exec(director.run(...ping))?.[1];
	};
	await waitFor("carrier", () => readFileSync("/sys/class/net/toward/operstate", "utf8") === "up\n");
	const answers = () => [
		answerer("198.51.100.1", 12),
		answerer("198.51.100.1", 13),
		answerer("2001:db8:f::1", 28),
		answerer("2001:db8:f::1", 29),
	];
	const real = ["198.51.100.1", "198.51.100.1", "2001:db8:f::1", "2001:db8:f::1"];
	assert.deepEqual(await runCommand(["dsrctl", "start"]), SILENT);
	assert.deepEqual(answers(), ["192.0.2.10", "198.51.100.1", "2001:db8::1", "2001:db8:f::1"]);
	assert.deepEqual(await runCommand(["dsrctl", "stop"]), SILENT);
	assert.deepEqual(answers(), real);
});

test("rules that were damaged in nftables are detected, and repaired by a start", async () => {
	assert.deepEqual(await runCommand(["dsrctl", "start"]), SILENT);
	run("nft", "flush", "chain", "ip", "l3dsr", "raw_PREROUTING");
	assert.equal((await runCommand(["dsrctl", "check"])).stdout, "Some DSRs not started.\n");
	assert.match(
		(await runCommand(["dsrctl", "status"])).stderr,
		/^warning: table ip l3dsr, chain raw_PREROUTING/m,
	);
	assert.deepEqual(await runCommand(["dsrctl", "start"]), SILENT);
	assert.deepEqual(await runCommand(["dsrctl", "check"]), { ...SILENT, stdout: "All DSRs started.\n" });
});

test("reads the files in the order of the locale", async () => {
	assert.deepEqual(await names({}), ROWS.byBytes);
	assert.deepEqual(await names({ LANG: "C.UTF-8" }), ROWS.byBytes);
	assert.deepEqual(await names({ LANG: "en_US.UTF-8" }), ROWS.byLanguage);
	assert.deepEqual(await names({ LC_ALL: "C", LANG: "en_US.UTF-8" }), ROWS.byBytes);
});

test("only root may run it, but anybody may ask for help", async () => {
	const nobody = (): Partial<DsrctlHost> => ({
		missing: { kind: "capabilities", names: ["CAP_NET_ADMIN"] },
		isRoot: false,
	});
	assert.deepEqual(await runCommand(["dsrctl", "status"], {}, nobody), {
		exitCode: 1,
		stdout: "",
		stderr: "You must be root to run this command.\n",
	});
	for (const help of ["-h", "-ah", "--help"]) {
		const { exitCode, stdout, stderr } = await runCommand(["dsrctl", help], {}, nobody);
		assert.equal(exitCode, 0);
		assert.equal(stderr, "");
		assert.match(stdout, /^Usage: dsrctl \[-d dir\] \[-f file\] \[-ahiknvx\] \[-s init:loop\] action\n/);
	}
});

test("an invalid table in l3dsr.yaml changes nothing", async () => {
	const settings = (host: DsrctlHost): Partial<DsrctlHost> => ({
		readFile: (path) => (path === "/etc/l3dsr/l3dsr.yaml" ? "table: nat\n" : host.readFile(path)),
	});
	const { exitCode, stdout, stderr } = await runCommand(["dsrctl", "start"], {}, settings);
	assert.equal(exitCode, 1);
	assert.equal(stdout, "");
	assert.match(
		stderr,
		/^\/etc\/l3dsr\/l3dsr\.yaml:1:8: error\[CONFIG_BAD_VALUE\]: "nat" is not a table for services/,
	);
	assert.equal((await runCommand(["dsrctl", "check"])).stdout, "No DSRs started.\n");
});

describe("if a change fails half-way", () => {
	const refused = new L3dsrError({ code: "PROGRAM_FAILED", message: "nft: change the rules: refused" });

	test("a start that cannot set its rules removes its addresses again", async () => {
		const { exitCode, stdout, stderr } = await runCommand(["dsrctl", "start"], {}, (host) => ({
			async openDatapath(settings) {
				const real = await host.openDatapath(settings);
				return {
					observe: async () => ({ ...(await real.observe()), change: () => Promise.reject(refused) }),
				};
			},
		}));
		assert.equal(exitCode, 1);
		assert.equal(stdout, "");
		assert.match(
			stderr,
			/^error\[PROGRAM_FAILED\]: nft: change the rules: refused\n(note: undone: ip address del [^\n]* dev lo\n)+$/,
		);
		assert.equal(
			(await runCommand(["dsrctl", "-f", "/dev/null", "-a", "status"])).stdout,
			"No loopback aliases or iptables rules found.\n",
		);
	});

	test("a restart that cannot start restores the services that ran, with their labels", async () => {
		assert.deepEqual(await runCommand(["dsrctl", "start"]), SILENT);
		const before = await runCommand(["dsrctl", "-a", "status"]);
		let changes = 0;
		const { exitCode, stderr } = await runCommand(["dsrctl", "restart"], {}, (host) => ({
			async changeLoopback(steps) {
				// After the rules of the stop, and before those of the start.
				if (++changes === 2) throw refused;
				await host.changeLoopback(steps);
			},
		}));
		assert.equal(exitCode, 1);
		assert.match(stderr, /refused\n(note: undone: [^\n]*\n)*note: undone: ip address add [^\n]*\n/);
		assert.deepEqual(await runCommand(["dsrctl", "-a", "status"]), before);
	});

	test("rules that are missing from the kernel afterwards are a failure, and are undone", async () => {
		const { exitCode, stderr } = await runCommand(["dsrctl", "start"], {}, (host) => ({
			async openDatapath(settings) {
				const real = await host.openDatapath(settings);
				return { observe: async () => ({ ...(await real.observe()), change: () => Promise.resolve() }) };
			},
		}));
		assert.equal(exitCode, 1);
		assert.match(
			stderr,
			/^error\[DATAPATH_VERIFY\]: .*\n(note: .*\n)*note: still to do: iptables-daddr -t raw -A PREROUTING -m dscp --dscp 0x0c /,
		);
		assert.equal((await runCommand(["dsrctl", "check"])).stdout, "No DSRs started.\n");
	});

	test("a failed undo is reported", async () => {
		let changes = 0;
		const { exitCode, stderr } = await runCommand(["dsrctl", "start"], {}, (host) => ({
			async changeLoopback(steps) {
				if (++changes === 1) {
					await host.changeLoopback(steps.slice(0, 1));
					throw refused;
				}
				throw new L3dsrError({ code: "PROGRAM_FAILED", message: "ip is gone" });
			},
		}));
		assert.equal(exitCode, 1);
		assert.match(stderr, /note: undone: [\s\S]*note: undoing it failed too: ip is gone\n$/);
	});
});
