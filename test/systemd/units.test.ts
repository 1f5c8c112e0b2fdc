import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { commandPath, ROOT } from "../support/commands.ts";
import { enterNetns, ip, run } from "../support/netns.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-units-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
const text = readFileSync(join(ROOT, "systemd/l3dsr.service"), "utf8");

/** The values of all lines `key=…` of a unit. */
function settings(key: string): string[] {
	return [...text.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map(([, value = ""]) => value);
}

test("systemd accepts the units, in every line", () => {
	const units = join(folder, "units");
	mkdirSync(units);
	for (const name of ["l3dsr.service", "l3dsr-agent.service", "l3dsr@blue.service"]) {
		const unit = readFileSync(join(ROOT, "systemd", name.replace("@blue", "@")), "utf8");
		// The packages install the command there; here it is elsewhere, and the manual pages are not
		// installed.
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

test("l3dsr.service starts before servers that wait only for network.target, without a cycle", () => {
	const units = join(folder, "order");
	mkdirSync(units);
	const unit = text.replaceAll("/usr/sbin/l3dsr", commandPath("l3dsr")).replace(/^Documentation=.*$/m, "");
	writeFileSync(join(units, "l3dsr.service"), unit);
	const server = (lines: string) => `[Unit]\n${lines}\n[Service]\nExecStart=/bin/true\n`;
	// The order in the distributions' units.
	const servers = {
		apache2: "After=network.target remote-fs.target nss-lookup.target",
		nginx: "After=network-online.target remote-fs.target nss-lookup.target\nWants=network-online.target",
		named: "After=network.target\nWants=nss-lookup.target\nBefore=nss-lookup.target",
		nftables: "Wants=network-pre.target\nBefore=network-pre.target shutdown.target\nDefaultDependencies=no",
	};
	for (const [name, lines] of Object.entries(servers)) {
		writeFileSync(join(units, `${name}.service`), server(lines));
	}
	// Started together, as at boot.
	const all = ["l3dsr", ...Object.keys(servers)].map((name) => `${name}.service`);
	writeFileSync(join(units, "all.target"), `[Unit]\nRequires=${all.join(" ")}\n`);
	const { status, stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", join(units, "all.target")], {
		encoding: "utf8",
		env: { ...process.env, SYSTEMD_UNIT_PATH: `${units}:` },
	});
	assert.equal(status, 0, stderr);
	assert.doesNotMatch(stderr, /cycle/);
	const before = settings("Before").flatMap((value) => value.split(" "));
	for (const name of ["apache2", "nginx", "named", "network-online"]) {
		assert(
			before.some((one) => one.startsWith(`${name}.`)),
			name,
		);
	}
	// And after the units that flush the tables at boot.
	assert(settings("After").some((value) => value.split(" ").includes("nftables.service")));
});

for (const name of ["l3dsr.service", "l3dsr-agent.service"]) {
	test(`${name} is hardened: systemd rates its remaining exposure as OK or better`, (context) => {
		const { error, stdout, stderr } = spawnSync(
			"systemd-analyze",
			["security", "--offline=yes", "--threshold=30", join(ROOT, "systemd", name)],
			{ encoding: "utf8" },
		);
		assert.equal(error, undefined);
		if (/unrecognized option/.test(stderr)) {
			context.skip("systemd-analyze security --offline is not there (systemd 250)");
			return;
		}
		const exposure = Number(/Overall exposure level for \S+: ([0-9.]+)/.exec(stdout)?.[1]);
		assert(exposure <= 3, stdout);
	});
}

test("with the capabilities that the unit keeps, up and down work on both datapaths", () => {
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
