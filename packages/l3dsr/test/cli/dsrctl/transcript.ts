/**
 * Runs dsrctl and related commands on the kernel of this test's namespace, and records what a person would
 * see.
 *
 * A step is one line: `dsrctl …`, `iptables-daddr …` and `ip6tables-daddr …` run in this process; `ip …`,
 * `sysctl …` and `nft …` run as programs; `rules` and `addresses` print the kernel's state.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { Writable } from "node:stream";
import { run } from "../../../../../test/support/netns.ts";
import type { CliContext } from "../../../src/cli/context.ts";
import { type DsrctlHost, systemHost } from "../../../src/cli/dsrctl/host.ts";
import { runDsrctl } from "../../../src/cli/dsrctl.ts";
import { systemHost as iptablesHost } from "../../../src/cli/iptables/host.ts";
import { runIptables } from "../../../src/cli/iptables-daddr.ts";
import { listLoopbackAddresses } from "../../../src/host/addresses.ts";
import type { Table } from "../../../src/model/rule.ts";
import { openDatapath } from "../../../src/rewrite/host-datapath.ts";
import { formatRuleSpec } from "../../../src/syntax/iptables/rule-format.ts";

export interface Outcome {
	readonly exitCode: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** Runs one of our commands with these words as its argv. `change` may replace parts of the real host. */
export async function runCommand(
	words: readonly string[],
	env: Readonly<Record<string, string>> = { LC_ALL: "C" },
	change: (host: DsrctlHost) => Partial<DsrctlHost> = () => ({}),
): Promise<Outcome> {
	const [programName = "", ...argv] = words;
	const sinks = { stdout: "", stderr: "" };
	const sink = (name: "stdout" | "stderr") =>
		new Writable({
			write(chunk, _encoding, done) {
				sinks[name] += String(chunk);
				done();
			},
		});
	const context: CliContext = {
		programName,
		programPath: `/nowhere/bin/${programName}`,
		argv,
		env: { PATH: process.env["PATH"] ?? "", ...env },
		stdout: sink("stdout"),
		stderr: sink("stderr"),
		outputClosed: new AbortController().signal,
	};
	if (programName !== "dsrctl") {
		return { exitCode: await runIptables(context, iptablesHost()), ...sinks };
	}
	const host = systemHost();
	return { exitCode: await runDsrctl(context, { ...host, ...change(host) }), ...sinks };
}

/** `VIP=28`: blanks separate words, double quotes keep them together. */
function wordsOf(line: string): string[] {
	return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
}

async function runStep(line: string, table: Table): Promise<string> {
	const words = wordsOf(line.replaceAll("TABLE", table));
	const [program = "", ...args] = words;
	switch (program) {
		case "rules":
			return (await openDatapath().observe()).rules
				.map(({ rule }) => `${rule.family} ${rule.table} -A ${rule.chain} ${formatRuleSpec(rule)}\n`)
				.join("");
		case "addresses":
			return listLoopbackAddresses()
				.map(({ address, prefixLength, label }) => `${address.text}/${prefixLength} ${label ?? ""}`.trimEnd())
				.sort()
				.map((text) => `${text}\n`)
				.join("");
		case "ip":
		case "sysctl":
		case "nft": {
			run(program, ...args);
			return "";
		}
		default: {
			const { exitCode, stdout, stderr } = await runCommand(words);
			if (program !== "dsrctl" && exitCode !== 0) throw new Error(`${line}: ${stderr}`);
			// The kernel's text for a refusal differs between versions.
			const complaint = stderr
				.replace(/^(?=.)/gm, "stderr: ")
				.replace(/(on|to|from) lo: E[A-Z]+.*/g, "$1 lo: …");
			return program === "dsrctl" ? `${stdout}${complaint}exit ${exitCode}\n` : "";
		}
	}
}

export interface Scenario {
	/** The subject of the scenario. */
	readonly title: string;
	/** The text of each file, by its path below the working directory. */
	readonly files?: Readonly<Record<string, string>>;
	readonly steps: readonly string[];
}

/** Deletes every rule, and every address of `lo` that is not standard; enables IPv6. */
export async function cleanHost(): Promise<void> {
	run("nft", "flush", "ruleset");
	writeFileSync("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0");
	run("ip", "address", "flush", "dev", "lo");
	run("ip", "address", "add", "127.0.0.1/8", "dev", "lo", "scope", "host");
	run("ip", "address", "replace", "::1/128", "dev", "lo", "scope", "host");
}

/** The output of the steps, each after its command, from a clean host in an empty working directory. */
export async function transcript({ files = {}, steps }: Scenario, table: Table): Promise<string> {
	await cleanHost();
	for (const [path, text] of Object.entries(files)) {
		mkdirSync(dirname(path), { recursive: true });
		writeFileSync(path, text);
	}
	try {
		let text = "";
		for (const step of steps) text += `$ ${step}\n${await runStep(step, table)}`;
		return text;
	} finally {
		for (const path of Object.keys(files))
			rmSync(path.split("/")[0] || path, { recursive: true, force: true });
	}
}
