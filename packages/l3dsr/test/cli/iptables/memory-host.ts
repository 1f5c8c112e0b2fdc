/** A simulated host: for the steps of a command before and after it changes the real kernel. */
import { Writable } from "node:stream";
import type { CliContext } from "../../../src/cli/context.ts";
import type { IptablesHost } from "../../../src/cli/iptables/host.ts";
import { runIptables } from "../../../src/cli/iptables-daddr.ts";
import { L3dsrError } from "../../../src/errors.ts";
import { ZERO_COUNTERS } from "../../../src/model/rule.ts";
import type { Ruleset } from "../../../src/model/ruleset.ts";
import type { Assignment } from "../../../src/rewrite/assign.ts";
import type { ObservedRule } from "../../../src/rewrite/datapath.ts";
import { parseServices } from "../../../src/syntax/iptables/names.ts";

export interface Outcome {
	readonly exitCode: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** State that a test may read and change. */
export interface Kernel {
	rules: readonly ObservedRule[];
	/** How often rules were applied. */
	applied: number;
}

function onNft(nft: Ruleset): Assignment {
	const reason = { kind: "asked-for-nft" } as const;
	return { rules: nft.entries.map((entry) => ({ entry, datapath: "nft", reason })), ebpf: new Map(), nft };
}

export function memoryHost(kernel: Kernel, changes: Partial<IptablesHost> = {}): IptablesHost {
	return {
		openDatapath: async () => ({
			observe: async () => ({
				rules: kernel.rules,
				findings: [],
				directors: [],
				assign: async (ruleset) => onNft(ruleset),
				assignAsObserved: onNft,
				async change({ nft }) {
					kernel.applied++;
					const before = new Map(kernel.rules.map((one) => [one.ordinal, one.counters]));
					kernel.rules = nft.entries.map(({ rule, ordinal, counters }) => ({
						rule,
						ordinal,
						counters: counters ?? before.get(ordinal) ?? ZERO_COUNTERS,
						datapath: "nft",
					}));
				},
			}),
		}),
		// These commands do not need the state of lo.
		interfaces: () => Promise.reject(new Error("asked for interfaces")),
		loopbackAddresses: () => Promise.reject(new Error("asked for the addresses of lo")),
		hasIpv6: () => true,
		changeLoopback: () => Promise.reject(new Error("asked to change lo")),
		guard: () => Promise.reject(new Error("asked for the guard")),
		applyGuard: () => Promise.reject(new Error("asked to change the guard")),
		openDirector: () => Promise.reject(new Error("asked for the director")),
		lock: async () => ({ [Symbol.dispose]() {} }),
		settings: async () => ({ table: "raw", given: {} }),
		services: parseServices("ftp-data 20/tcp\nssh 22/tcp\ndomain 53/udp\nhttp 80/tcp www\nhttps 443/tcp\n"),
		hostNames: async (addresses) =>
			new Map(addresses.filter(({ text }) => text === "192.0.2.1").map(({ text }) => [text, "client.test"])),
		missing: undefined,
		isRoot: true,
		ipv6: () => "on",
		readFile: (path) => {
			throw new L3dsrError({
				code: "FILE_READ",
				message: `read ${path}: ENOENT (no such file or directory)`,
			});
		},
		now: () => new Date(2026, 10, 3, 4, 5, 6),
		...changes,
	};
}

/** Runs one command line like `bin/NAME`. */
export async function runAs(
	host: IptablesHost,
	programName: string,
	...argv: readonly string[]
): Promise<Outcome> {
	const output = { stdout: "", stderr: "" };
	const sink = (name: keyof typeof output) =>
		new Writable({
			write(chunk, _encoding, done) {
				output[name] += String(chunk);
				done();
			},
		});
	const context: CliContext = {
		programName,
		programPath: `/nowhere/bin/${programName}`,
		argv,
		env: {},
		stdout: sink("stdout"),
		stderr: sink("stderr"),
		outputClosed: new AbortController().signal,
	};
	return { exitCode: await runIptables(context, host), ...output };
}
