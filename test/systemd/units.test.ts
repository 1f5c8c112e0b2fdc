import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { commandPath, ROOT } from "../commands.ts";
import { enterNetns, ip, run } from "../netns.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-units-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
const text = readFileSync(join(ROOT, "systemd/l3dsr.service"), "utf8");

/** Values of every line `key=…` of a unit. */
function settings(key: string): string[] {
	return [...text.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map(([, value = ""]) => value);
}

test("the units are what systemd takes, in every line", (context) => {
	if (spawnSync("systemd-analyze", ["--version"]).error !== undefined) {
		context.skip("systemd-analyze is not installed");
		return;
	}
	const units = join(folder, "units");
	mkdirSync(units);
	for (const name of ["l3dsr.service", "l3dsr@blue.service"]) {
		const unit = readFileSync(join(ROOT, "systemd", name.replace("@blue", "@")), "utf8");
		// The packages put the command there; here it is elsewhere, and the manual pages are not installed.
		const here = unit.replaceAll("/usr/sbin/l3dsr", commandPath("l3dsr")).replace(/^Documentation=.*$/m, "");
		writeFileSync(join(units, name), here);
		const { status, stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", join(units, name)], {
			encoding: "utf8",
		});
		assert.deepEqual(
			{ status, said: stderr.split("\n").filter((line) => line.includes(name)) },
			{ status: 0, said: [] },
		);
	}
});

test("with the capabilities that the unit leaves it, up and down work on both datapaths", () => {
	const [capabilities = ""] = settings("CapabilityBoundingSet");
	const left = capabilities
		.split(" ")
		.map((name) => `+${name.replace("CAP_", "").toLowerCase()}`)
		.join(",");
	ip("link add eth0 type veth peer name peer0");
	ip("addr add 10.0.0.2/24 dev eth0");
	ip("link set eth0 up");
	ip("link set peer0 up");
	for (const datapath of ["ebpf", "nft"]) {
		writeFileSync(config, `datapath: ${datapath}\nservices:\n  - { vip: 192.0.2.10, dscp: 7 }\n`);
		const [start = "", reload, stop = ""] = ["ExecStart", "ExecReload", "ExecStop"].map(
			(key) => settings(key)[0],
		);
		assert.equal(start, reload);
		for (const [line, expected] of [
			[`${start} -c ${config}`, /--set-daddr 192\.0\.2\.10/],
			[`${start} -c ${config}`, /nothing to do: 1 service is up/],
			[stop, /address del 192\.0\.2\.10/],
		] as const) {
			const command = line.replace("/usr/sbin/l3dsr", commandPath("l3dsr")).split(" ");
			const output = run("setpriv", "--bounding-set", `-all,${left}`, "--no-new-privs", ...command);
			assert.match(output, expected);
		}
	}
});
