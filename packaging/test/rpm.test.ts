/** The .rpm on a complete host, and in a root with only a shell and libraries. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import {
	attempt,
	COMMANDS,
	done,
	everyCommandAnswers,
	Host,
	PACKAGES,
	RPM,
	RPM_ARCH,
	VERSION,
} from "./host.ts";
import { livesThrough } from "./life.ts";

const built = (dist: string) => `l3dsr-${VERSION}-1.${dist}.${RPM_ARCH}.rpm`;

// Debian's rpm does not know the packages of its host, and needs two options to install anyway.
const rpm = "rpm --nodeps --force-debian";
livesThrough("the .rpm", {
	host: () => {
		const host = new Host();
		for (const dist of ["el9", "el10"]) host.put(join(PACKAGES, built(dist)));
		return host;
	},
	install: `${rpm} -i ${built("el9")}`,
	upgrade: `${rpm} -U ${built("el10")}`,
	downgrade: `${rpm} -U --oldpackage ${built("el9")}`,
	remove: "rpm -e l3dsr",
	installed: "rpm -q l3dsr",
	versions: { old: "-1.el9.", new: "-1.el10." },
});

describe("the .rpm in an empty root", () => {
	const directory = mkdtempSync(join(tmpdir(), "l3dsr-rpm-"));
	const root = join(directory, "root");
	const into = ["--force-debian", "--root", root];
	const inside = (commands: string) =>
		done("env", ["-i", "PATH=/usr/sbin:/usr/bin", "chroot", root, "sh", "-euc", commands]);
	before(() => {
		done("sh", ["packaging/test/rpm-system.sh", directory]);
		mkdirSync(root);
	});
	after(() => rmSync(directory, { recursive: true }));

	it("is refused by rpm without the libraries, and accepted with them, including its scripts", () => {
		const { status, stderr } = attempt("rpm", [...into, "-i", RPM]);
		assert.notEqual(status, 0);
		assert.match(stderr, /libc\.so\.6\(GLIBC_2\.28\)\(64bit\) is needed/);
		const system = readdirSync(directory).find((name) => name.endsWith(".rpm"));
		assert.ok(system !== undefined);
		const installed = attempt("rpm", [...into, "-i", join(directory, system), RPM]);
		assert.deepEqual({ status: installed.status, stderr: installed.stderr }, { status: 0, stderr: "" });
	});

	it("runs there", () => {
		everyCommandAnswers(inside);
		assert.match(inside("l3dsr --version"), new RegExp(`^l3dsr ${VERSION.replaceAll(".", "\\.")}$`, "m"));
	});

	it("matches rpm's own record of it", () => {
		const query = (...args: readonly string[]) => done("rpm", ["--root", root, "-q", ...args, "l3dsr"]);
		done("rpm", ["--root", root, "-V", "l3dsr"]);
		assert.match(query("-i"), /^License +: Apache-2\.0 AND MIT AND ISC$/m);
		assert.equal(query("--recommends").trim(), "");
		const manual = query("-d");
		for (const command of COMMANDS) assert.ok(manual.includes(`/man8/${command}.8.gz`), command);
	});

	it("is removed silently, though its scripts find neither systemd nor a kernel to clean", () => {
		const { status, stdout, stderr } = attempt("rpm", [...into, "-e", "l3dsr"]);
		assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: "", stderr: "" });
		inside("[ ! -e /usr/lib/l3dsr ]");
	});
});
