/**
 * The fifteen classic faults, each really made in the lab: the test runs every command in
 * docs/guide/troubleshooting.md and compares the output. UPDATE_GOLDEN=1 writes the output into the page.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { matchesShown } from "../../../../test/docs/console.ts";
import { commandPath, ROOT } from "../../../../test/support/commands.ts";
import { enterNetns } from "../../../../test/support/netns.ts";
import { addressOf, HTTP_PORT, UDP_PORT, VIPS } from "../../src/lab/layout.ts";
import { buildTopology, destroyTopology, type Topology } from "../../src/lab/topology.ts";
import { WorkerProcess } from "../../src/lab/worker-process.ts";

enterNetns();

const PAGE = join(ROOT, "docs/guide/troubleshooting.md");
const UPDATE = process.env["UPDATE_GOLDEN"] === "1";
const LAB = "l3faults";
const PROMPT = /^(director|router|real1)# (.*)$/;

const TOOLS = ["probe", "check", "trace", "watch"] as const;
type Tool = (typeof TOOLS)[number];

/**
 * The output of each command for each fault. In the page's table, `names` means that the output names the
 * fault, `shows` that it shows less than that.
 */
const SAID: Readonly<
	Record<
		string,
		{ readonly names: Partial<Record<Tool, RegExp>>; readonly shows?: Partial<Record<Tool, RegExp>> }
	>
> = {
	"No rule": {
		names: { probe: /^likely: no rule on 10\.0\.11\.2 matches DSCP 1/m, trace: /^no rule is on its path$/m },
	},
	"Wrong DSCP": {
		names: {
			probe:
				/^found: DSCP 7 .* is answered by the VIP .*\n(found.*\n)*likely: the rule .* is for another DSCP than 1$/m,
			trace: /^ +not -m dscp --dscp 0x07: the packet has DSCP 1 /m,
		},
	},
	"The VIP is not on lo": {
		names: {
			check: /^error\[vip-on-loopback\]/m,
			trace: /^result: rewritten to 72\.30\.38\.140, which is not an address of this host/m,
		},
		shows: {
			probe: /^likely: .* does not hold 72\.30\.38\.140 on lo$/m,
			watch: / 10\.0\.3\.2:… > 72\.30\.38\.140:80 /,
		},
	},
	"The service does not listen on the VIP": {
		names: {
			probe: /^likely: .* the service does not listen on the VIP/m,
			check: /^warning\[listeners\]: nothing listens on web \(72\.30\.38\.140\) port 8080/m,
		},
		shows: { watch: / 10\.0\.3\.2:… > 72\.30\.38\.140:8080 / },
	},
	"TOS and DSCP confused": {
		names: {
			probe: /^likely: TOS and DSCP are confused: 4 is the TOS byte of DSCP 1/m,
			trace: /^ +4 is the TOS byte of DSCP 1: the rule may use the TOS byte as the DSCP$/m,
		},
	},
	"ECN bits": {
		names: {
			probe: /^likely: the rule compares the whole TOS byte/m,
			trace: /^ +the rule compares the ECN bits too/m,
		},
	},
	"A router re-marks": {
		names: { probe: /^likely: the DSCP is changed on the way: .* 10\.0\.3\.1: by that router/m },
	},
	"Reverse-path filter": {
		names: { check: /^error\[reverse-path\]/m },
		shows: { probe: /^likely: reverse-path filtering/m, watch: / 10\.0\.3\.2:… > 72\.30\.38\.140:80 / },
	},
	"Another host claims the VIP": {
		names: { check: /^error\[arp\]/m },
		shows: { probe: /with DSCP 0 .*: answered by the VIP 10\.0\.11\.140 in/ },
	},
	"A rule before ours": {
		names: { check: /^error\[dscp-remarked\]/m },
		shows: {
			probe: /by a rule on 10\.0\.11\.2 before ours$/m,
			trace: /^result: rewritten to 72\.30\.38\.140, an address of this host/m,
		},
	},
	"Connection tracking sees one side": {
		names: {
			probe: /^likely: connection tracking on 10\.0\.11\.2 sees one side only/m,
			check: /^warning\[connection-tracking\]: .* DADDR rules of mangle INPUT/m,
		},
	},
	IP_PKTINFO: { names: { probe: /^likely: .* \(IP_PKTINFO\)$/m } },
	"The server reflects TOS": {
		names: { probe: /^likely: 10\.0\.11\.2 reflects the TOS byte \(net\.ipv4\.tcp_reflect_tos\)/m },
	},
	"uRPF at the first router": {
		names: {},
		shows: {
			probe: /^likely: spoofing protection .*uRPF at the first router/m,
			check: /^question: .* \(uRPF of the first router/m,
		},
	},
	"Path MTU": {
		names: { probe: /^likely: path MTU: large packets from the VIP are lost/m },
		shows: { check: /^question: do ICMP errors/m },
	},
};

const l3dsr = commandPath("l3dsr");
const directory = mkdtempSync(join(tmpdir(), "l3dsr-faults-"));
let topology: Topology;
let worker: WorkerProcess;

before(async () => {
	topology = buildTopology(LAB);
	worker = new WorkerProcess("real1", topology.namespaces.real1, [l3dsr, "lab-worker"], process.env);
	const addresses = [addressOf("real1", "ipv4"), ...VIPS.map(({ vip }) => vip)].map(({ text }) => text);
	await worker.call("serve", { server: "real1", httpPort: HTTP_PORT, udpPort: UDP_PORT, addresses });
});
after(async () => {
	await worker?.[Symbol.asyncDispose]();
	destroyTopology(LAB);
	rmSync(directory, { recursive: true });
});

interface Shown {
	readonly host: "director" | "router" | "real1";
	readonly command: string;
	readonly output: readonly string[];
}

/** The pieces of the page: unchanged text, and commands with their output. */
function piecesOf(section: string): (string | Shown)[] {
	const pieces: (string | Shown)[] = [];
	let output: string[] | undefined;
	for (const line of section.split("\n")) {
		const [, host, command] = PROMPT.exec(line) ?? [];
		if ((host === "director" || host === "router" || host === "real1") && command !== undefined) {
			output = [];
			pieces.push({ host, command, output });
		} else if (output !== undefined && line !== "```") {
			output.push(line);
		} else {
			output = undefined;
			pieces.push(line);
		}
	}
	return pieces;
}

/** Both streams as one, as a terminal shows them. */
function type({ host, command }: Shown): string {
	const { stdout } = spawnSync(
		"ip",
		["netns", "exec", topology.namespaces[host], "sh", "-c", `exec 2>&1\n${command}`],
		{
			cwd: directory,
			encoding: "utf8",
			env: { ...process.env, LAB, PATH: `${dirname(l3dsr)}:${process.env["PATH"]}` },
		},
	);
	return stdout;
}

/** Replaces parts that differ between runs. */
function withoutChance(output: string): string {
	return output
		.replace(/\d+\.\d ms/g, "… ms")
		.replace(/( {2}up) +\d+ +\d+$/gm, "$1  …")
		.replace(/lladdr .*/g, "lladdr …")
		.replace(/^\d\d:\d\d:\d\d\.\d+ ( 10\.0\.3\.2):\d+ /gm, "… $1:… ")
		.replace(/(LISTEN 0) +\d+ +(\S+) +(\S+?) *$/gm, "$1 … $2 …")
		.trimEnd();
}

/** The output of one command's calls in a section. */
function saidBy(tool: Tool, section: string): string {
	const call = tool === "watch" ? "cat watch.log" : `l3dsr ${tool} `;
	return piecesOf(section)
		.flatMap((piece) => (typeof piece !== "string" && piece.command.includes(call) ? piece.output : []))
		.join("\n");
}

const [preface = "", ...sections] = readFileSync(PAGE, "utf8").split(/^(?=## )/m);
const updated: string[] = [];

/** Runs the commands of a section and returns the section with their output. */
function replay(section: string, judge: (shown: Shown, printed: string) => void): string {
	return piecesOf(section)
		.map((piece) => {
			if (typeof piece === "string") return piece;
			const printed = type(piece);
			judge(piece, printed);
			const text = withoutChance(printed);
			return [`${piece.host}# ${piece.command}`, ...(text === "" ? [] : [text])].join("\n");
		})
		.join("\n");
}

function judge({ host, command, output }: Shown, printed: string): void {
	if (UPDATE) return;
	assert.ok(
		matchesShown(printed, output),
		`${host}# ${command}\nprinted:\n${printed}\nshown:\n${output.join("\n")}`,
	);
}

describe("docs/guide/troubleshooting.md", () => {
	it("begins with commands that print the shown output", () => {
		updated.push(replay(preface, judge));
	});
	for (const section of sections) {
		const [title = ""] = section.split("\n");
		it(`shows the real output for the fault ${title.replace("## ", "")}`, () => {
			updated.push(replay(section, judge));
		});
	}
	it("names each of the fifteen faults with the commands of its table", () => {
		if (UPDATE) writeFileSync(PAGE, updated.join(""));
		assert.equal(sections.length, Object.keys(SAID).length);
		const rows = preface.split("\n").filter((line) => /^\| \d/.test(line));
		for (const [index, [title, { names, shows = {} }]] of Object.entries(SAID).entries()) {
			const section = updated[index + 1] ?? "";
			assert.equal(section.split("\n")[0], `## ${index + 1}. ${title}`);
			const [, , ...cells] = (rows[index] ?? "").split("|").map((cell) => cell.trim());
			for (const [at, tool] of TOOLS.entries()) {
				const cell = cells[at];
				const expected = names[tool] ?? shows[tool];
				if (names[tool] !== undefined) assert.equal(cell, "**names**", title);
				else if (expected !== undefined) assert.match(cell ?? "", /^[a-z]/, title);
				else assert.equal(cell, "", title);
				if (expected !== undefined) assert.match(saidBy(tool, section), expected, `${title}: ${tool}`);
			}
		}
	});
});
