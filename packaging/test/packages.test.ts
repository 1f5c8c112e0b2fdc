/** Builds the packages and lives with them: install, run, upgrade, remove; by dpkg and by rpm, without Node. */
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PACKAGES = join(ROOT, "build/packages");
const netns = `l3pkg${process.pid}`;
const directory = mkdtempSync("/tmp/l3dsr-packages-");
let version = "";

function run(
	program: string,
	args: readonly string[],
	env: NodeJS.ProcessEnv = {},
): SpawnSyncReturns<string> {
	return spawnSync(program, args, { cwd: ROOT, encoding: "utf8", env: { ...process.env, ...env } });
}

/** Output of a program that must succeed. */
function done(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): string {
	const { status, stdout, stderr } = run(program, args, env);
	assert.equal(status, 0, `${program} ${args.join(" ")}\n${stdout}${stderr}`);
	return stdout;
}

/** On the host with the packages. */
function host(command: string): string {
	return done("sh", ["packaging/test/private-host.sh", netns, directory, command]);
}

before(() => {
	version = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).version;
	done("mount", ["-t", "tmpfs", "-o", "size=1g", "tmpfs", directory]);
	for (const name of ["upper", "work", "root", "packages"]) mkdirSync(join(directory, name));
	done("ip", ["netns", "add", netns]);
	done("ip", ["-n", netns, "link", "set", "lo", "up"]);
	// Node is searched everywhere and taken away: what runs from here on brings its own.
	host("rm -f $(which -a node nodejs npm npx) /usr/local/bin/node; ! command -v node");
});

after(() => {
	run("ip", ["netns", "del", netns]);
	run("umount", [directory]);
	rmSync(directory, { recursive: true });
});

const COMMANDS = [
	"l3dsr",
	"dsrctl",
	...["iptables-daddr", "ip6tables-daddr"].flatMap((name) => [name, `${name}-save`, `${name}-restore`]),
];

interface Kind {
	readonly build: string;
	/** The file, as built for `version`. */
	readonly file: (version: string) => string;
	readonly install: (file: string) => string;
	readonly upgrade: (file: string) => string;
	readonly remove: string;
}

const cpu = process.arch === "arm64" ? "aarch64" : "x86_64";
// Debian's rpm knows of no packages of this host, and asks twice whether it is meant.
const RPM = "rpm --nodeps --force-debian";
const KINDS: Readonly<Record<string, Kind>> = {
	deb: {
		build: "packaging/deb.sh",
		file: (built) => `l3dsr_${built}-1_${process.arch === "arm64" ? "arm64" : "amd64"}.deb`,
		install: (file) => `dpkg -i ${file}`,
		upgrade: (file) => `dpkg -i ${file}`,
		remove: "dpkg -r l3dsr",
	},
	rpm: {
		build: "packaging/rpm.sh",
		file: (built) => `l3dsr-${built}-1.el9.${cpu}.rpm`,
		install: (file) => `${RPM} -i ${file}`,
		upgrade: (file) => `${RPM} -U --force ${file}`,
		remove: "rpm -e l3dsr",
	},
};

for (const [name, kind] of Object.entries(KINDS)) {
	describe(`the ${name} package`, () => {
		before(() => {
			done("sh", [kind.build], { SUITE: "", DIST: "el9" });
			copyFileSync(join(PACKAGES, kind.file(version)), join(directory, "packages", kind.file(version)));
		});

		it("installs, and every command says its version and its help without a Node on the host", () => {
			host(kind.install(kind.file(version)));
			const output = host(
				COMMANDS.map((command) => `${command} --version; ${command} --help >/dev/null`).join("; "),
			);
			const lines = output.trim().split("\n");
			assert.equal(lines.length, COMMANDS.length, output);
			for (const line of lines) assert.ok(line.includes(version), line);
		});

		it("leaves rules, addresses and configuration alone when it is upgraded", () => {
			host(`
				mkdir -p /etc/l3dsr
				printf 'services: [{ vip: 192.0.2.10, dscp: 7 }]' > /etc/l3dsr/l3dsr.yaml
				printf '192.0.2.20=9' > /etc/dsr.d/web.conf
				l3dsr up; dsrctl start
				iptables-daddr -t mangle -A INPUT -m dscp --dscp 1 -j DADDR --set-daddr 192.0.2.30`);
			const state =
				"nft -a list ruleset; ip -o address show dev lo; cat /etc/l3dsr/l3dsr.yaml /etc/dsr.d/web.conf";
			const running = host(state);
			for (const vip of ["192.0.2.10", "192.0.2.20", "192.0.2.30"]) assert.ok(running.includes(vip), running);
			host(kind.upgrade(kind.file(version)));
			assert.equal(host(state), running);
		});

		it("takes its rules and addresses away when it is removed, and leaves the operator's files", () => {
			host(kind.remove);
			assert.equal(host("nft list ruleset"), "");
			assert.doesNotMatch(host("ip -o address show dev lo"), /192\.0\.2\./);
			assert.equal(host("cat /etc/l3dsr/l3dsr.yaml").includes("192.0.2.10"), true);
			assert.equal(host("ls -d /usr/lib/l3dsr 2>&1 || :").includes("No such file"), true);
			host("rm /etc/l3dsr/l3dsr.yaml /etc/dsr.d/web.conf");
		});
	});
}

describe("the man pages in the package", () => {
	it("are there for every command and file, and clean", () => {
		const files = join(directory, "files");
		done("dpkg-deb", ["-x", join(PACKAGES, KINDS["deb"]?.file(version) ?? ""), files]);
		const man = join(files, "usr/share/man");
		for (const command of COMMANDS) assert.ok(existsSync(join(man, "man8", `${command}.8.gz`)), command);
		for (const subcommand of ["probe", "trace", "watch", "export", "import"]) {
			assert.ok(existsSync(join(man, "man8", `l3dsr-${subcommand}.8.gz`)), subcommand);
		}
		for (const file of ["l3dsr.yaml", "dsr.conf"])
			assert.ok(existsSync(join(man, "man5", `${file}.5.gz`)), file);
		for (const section of readdirSync(man)) {
			for (const page of readdirSync(join(man, section))) {
				assert.equal(run("mandoc", ["-Tlint", join(man, section, page)]).stdout, "");
			}
		}
	});
});
