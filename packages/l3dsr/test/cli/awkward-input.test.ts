/**
 * trace, watch, probe, export and import with the input that people really type and pipe: each works, or
 * explains the fault.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { PacketSocket } from "@l3dsr/linux";
import { decodeCapture, encodePcap, LINK_TYPE } from "@l3dsr/packet";
import { AS_NOBODY, commandPath, interrupt, start } from "../../../../test/support/commands.ts";
import { enterNetns, ip, run, waitFor } from "../../../../test/support/netns.ts";
import { ethernet, ipv4, tcp } from "../packets/build.ts";

enterNetns();

const l3dsr = commandPath("l3dsr");
const folder = mkdtempSync(join(tmpdir(), "l3dsr-awkward-"));
/** A process may have to wait for many others before it starts. */
const PATIENCE_MS = 60_000;
const packet = ["--from", "203.0.113.9", "--to", "10.0.0.5", "--dscp", "7"];
const capture = file("in.pcap", encodePcap([0, 7, 7].map(frameWith), LINK_TYPE.ethernet));

function frameWith(dscp: number) {
	const bytes = ethernet({}, ipv4({ source: "203.0.113.9", destination: "10.0.0.5", dscp }, tcp()));
	return { bytes, lengthBytes: bytes.length, timestampNs: 0n };
}

function file(name: string, contents: string | Uint8Array): string {
	const path = join(folder, name);
	writeFileSync(path, contents);
	return path;
}

/** Runs it through a shell; its stderr comes first. */
function shell(command: string) {
	const { status, stdout, stderr } = spawnSync("bash", ["-c", command, l3dsr], { encoding: "latin1" });
	return { status, stdout, stderr };
}

function said(...args: readonly string[]): string {
	const { status, stdout, stderr } = spawnSync(l3dsr, args, { encoding: "utf8" });
	return `${status}: ${stderr}${stdout}`;
}

before(() => {
	ip("link add eth0 type veth peer name p0");
	ip("address add 10.0.0.5/24 dev eth0");
	for (const name of ["eth0", "p0"]) ip(`link set ${name} up`);
	run(
		commandPath("iptables-daddr"),
		..."-t raw -A PREROUTING -m dscp --dscp 7 -j DADDR --set-daddr 192.0.2.10".split(" "),
	);
});
after(() => rmSync(folder, { recursive: true }));

describe("l3dsr trace", () => {
	it("explains what is wrong with a capture", () => {
		mkdirSync(join(folder, "folder"));
		for (const [path, message] of [
			[file("empty", ""), "it is neither pcap nor pcapng\nhint: it is empty"],
			[file("text", "45000014"), "it is neither pcap nor pcapng\nhint: use --hex for a packet in hex"],
			[join(folder, "folder"), "EISDIR \\(is a directory\\)"],
			[join(folder, "nosuch"), "ENOENT \\(no such file or directory\\)"],
		] as const) {
			assert.match(
				said("trace", path),
				new RegExp(`^1: error\\[\\w+\\]: read capture ${path}: ${message}\n$`),
			);
		}
		assert.match(
			shell('"$0" trace - <&-').stderr,
			/read capture stdin: it is neither pcap nor pcapng\nhint: it is empty/,
		);
		const whole = readFileSync(capture);
		assert.match(
			said("trace", file("cut.pcap", whole.subarray(0, -5))),
			/^0: [\s\S]*^2 packets: 1 rewritten[\s\S]*note: the capture ends within a packet, which is left out/m,
		);
	});

	it("accepts hex with blanks, colons and 0x, and names the packet that is invalid", () => {
		const hex = Buffer.from(ipv4({ destination: "10.0.0.5", dscp: 7 }, tcp())).toString("hex");
		const bytes = hex.match(/../g) ?? [];
		for (const form of [
			hex,
			bytes.join(" "),
			bytes.join(":"),
			`0x${hex}`,
			bytes.map((one) => `0x${one}`).join(", "),
		]) {
			assert.match(said("trace", "--hex", form), /^0: [\s\S]*result: rewritten to 192\.0\.2\.10/);
		}
		assert.match(
			said("trace", "--hex", "45x"),
			/^2: error\[USAGE\]: --hex needs bytes of two hex digits each/,
		);
		assert.match(said("trace", "--hex", "451c"), /^0: [\s\S]*the IP header is truncated: the stack drops it/);
		const odd = "45 00 00 14 00 00 00 00 40 ff 00 00 c0 00 02 01 0a 00 00 05";
		assert.match(said("trace", "--hex", odd), /DSCP 0 \(TOS 0x00\), protocol 255, 20 bytes$/m);
	});

	it("names the invalid field of a packet", () => {
		const [, , , , ...rest] = packet;
		for (const [args, message] of [
			[["--from", "10.0.0.5", "--to", "10.0.0.5", ...rest], "--from and --to are the same address"],
			[["--from", "::1", "--to", "10.0.0.5", ...rest], "--from and --to have different address families"],
			[
				[...packet.slice(0, 4), "--dscp", "64"],
				"--dscp: DSCP 64 is out of range, expected 0-63\nhint: 64 looks like a TOS byte \\(0x40\\), which is DSCP 16",
			],
			[[...packet, "--tcp", "http"], '--tcp: "http" is not a number from 0 to 65535'],
			[[...packet, "--port", "80"], "unknown option '--port'"],
			[[...packet, "--netns", "nosuch"], "there is no network namespace nosuch"],
		] as const) {
			assert.match(said("trace", ...args), new RegExp(`^2: error\\[USAGE\\]: ${message}`));
		}
		assert.match(said("trace", ...packet, "-i", "nosuch"), /^0: note: there is no interface nosuch here/);
	});

	it("writes a capture to stdout, never over its input, and reports at once if it cannot", () => {
		const { stdout, stderr } = shell(`"$0" trace ${capture} -w -`);
		assert.match(stderr, /^3 packets: 2 rewritten/m);
		const destinations = decodeCapture(Buffer.from(stdout, "latin1"), "stdout").packets.map(({ bytes }) =>
			bytes.subarray(30, 34).join("."),
		);
		assert.deepEqual(destinations, ["10.0.0.5", "192.0.2.10", "192.0.2.10"]);
		assert.match(
			said("trace", capture, "-w", capture),
			/^2: error\[USAGE\]: -w .* would overwrite the capture that is being read/,
		);
		assert.equal(decodeCapture(readFileSync(capture), "in").packets.length, 3);
		assert.match(
			said("trace", capture, "-w", "/nonexistent/x.pcap"),
			/^1: error\[FILE_WRITE\]: write capture \/nonexistent\/x\.pcap: ENOENT \(no such file or directory\)\n$/,
		);
		assert.match(
			said("trace", ...packet, "-w", folder),
			/^1: error\[FILE_WRITE\]: write capture .*: EISDIR \(is a directory\)\n$/,
		);
	});

	it("ends quietly if its reader has stopped, and fails if its output cannot be written", () => {
		const head = shell(`"$0" trace ${capture} -v | head -1; echo "\${PIPESTATUS[0]}"`);
		assert.deepEqual([head.stdout.split("\n").slice(-2), head.stderr], [["0", ""], ""]);
		assert.equal(shell(`"$0" trace ${capture} > /dev/full`).status, 1);
	});
});

describe("without root", () => {
	it("suggests a configuration in the error", () => {
		for (const args of [
			["trace", ...packet],
			["export", "yaml"],
		]) {
			const { status, stderr } = spawnSync(AS_NOBODY[0], [...AS_NOBODY.slice(1), l3dsr, ...args], {
				encoding: "utf8",
			});
			assert.equal(status, 1);
			assert.match(
				stderr,
				/^error\[KERNEL_PERMISSION\][\s\S]*hint: run it as root, or use a configuration, which needs no root: -c PATH/,
			);
		}
	});
});

describe("l3dsr watch", () => {
	it("accepts a class as DSCP, recognises a TOS byte, and names an unknown class", async () => {
		assert.match(
			said("watch", "--dscp", "64"),
			/^2: error\[USAGE\]: --dscp: DSCP 64 .*\nhint: 64 looks like a TOS byte/,
		);
		assert.match(
			said("watch", "--netns", "nosuch"),
			/^2: error\[USAGE\]: there is no network namespace nosuch/,
		);
		const watching = start(l3dsr, "watch", "-i", "nosuch", "--dscp", "AF41");
		let notes = "";
		watching.child.stderr?.on("data", (text) => {
			notes += String(text);
		});
		await waitFor("a note", () => notes.includes("note: there is no interface nosuch yet"), PATIENCE_MS);
		interrupt(watching);
		assert.equal((await watching.outcome).signal, "SIGINT");
	});

	it("fails if its output cannot be written, and leaves no table", () => {
		const ping = "(ping -c 40 -i 0.05 -W 1 -Q 0x1c 127.0.0.1 > /dev/null &)";
		assert.equal(shell(`${ping}; timeout 20 "$0" watch > /dev/full`).status, 1);
		assert.equal(run("nft", "list", "tables"), "table ip l3dsr\n");
	});
});

describe("l3dsr probe", () => {
	it("does not succeed for a file without targets", () => {
		const empty = file("none", "# nothing\n\n");
		assert.match(
			said("probe", "--file", empty),
			/^2: error\[PROBE_TARGET\]: read targets from .*: there is none\nhint: a line for each: RIP VIP DSCP PORT/,
		);
		assert.match(
			said("probe", "--file", empty, "--nagios"),
			/^3: [\s\S]*L3DSR UNKNOWN - read targets from .*: there is none$/m,
		);
		assert.match(shell('"$0" probe --file - <&-').stderr, /read targets from -: there is none/);
	});

	it("prints the results so far when it is stopped", async () => {
		const self = "10.0.0.5 192.0.2.10 0 80\n";
		// No host has this address, so nothing answers.
		ip("neighbour replace 10.0.0.99 lladdr 02:00:00:00:00:99 dev eth0");
		const targets = file("targets", `${self}10.0.0.99 192.0.2.10 7 80\n`);
		using cable = new PacketSocket({ interfaceName: "p0", etherType: 0x0800 });
		const probing = start(l3dsr, "probe", "--file", targets, "--timeout", "4", "--json");
		// An unanswered target is probed again; by then the other answer has been read.
		let asked = 0;
		await waitFor(
			"the second question",
			() => {
				for (let frame = cable.receive(); frame !== undefined; frame = cable.receive()) {
					if (frame.bytes[14 + 9] === 6 && frame.bytes[14 + 19] === 99) asked++;
				}
				return asked >= 2;
			},
			PATIENCE_MS,
		);
		interrupt(probing);
		const { signal, stdout, stderr } = await probing.outcome;
		const { probed, failed, unanswered, targets: told } = JSON.parse(stdout);
		assert.deepEqual([signal, probed, failed, unanswered], ["SIGINT", 1, 1, 1]);
		assert.equal(told[0].real, "10.0.0.5");
		assert.equal(stderr, "stopped: 1 of 2 targets were not answered yet\n");
	});
});
