/** The built packages: reproducible, and for every system and the other processor. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { FLAGS } from "../../scripts/code-cache.ts";
import {
	attempt,
	COMMANDS,
	DEB,
	DEB_ARCH,
	done,
	OTHER,
	PACKAGES,
	ROOT,
	RPM,
	RPM_ARCH,
	VERSION,
} from "./host.ts";

const directory = mkdtempSync(join(tmpdir(), "l3dsr-build-"));
after(() => rmSync(directory, { recursive: true }));

const sum = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");

/** The files that differ between two packages, for the message of a failure. */
function differences(a: string, b: string): string {
	if (!/^.*(\.deb|[^c]\.rpm)$/.test(a)) return "(not looked into)";
	return attempt("diff", ["-rq", unpacked(a), unpacked(b)]).stdout || "in its header only";
}

/** Files of a package below a folder. */
function unpacked(file: string): string {
	const folder = mkdtempSync(join(directory, "files-"));
	if (file.endsWith(".deb")) done("dpkg-deb", ["-x", file, folder]);
	else done("sh", ["-c", `rpm2cpio '${file}' | (cd '${folder}' && cpio -idm --quiet)`]);
	return folder;
}

describe("a build", () => {
	it("is the same to the byte in another folder and without network, even a rebuilt source package", () => {
		const copy = join(directory, "copy");
		done("git", ["clone", "-q", ROOT, copy]);
		// The .deb includes changes here that are not committed.
		done("sh", ["-c", `git ls-files -z | tar -c --null -T - | tar -x -C '${copy}'`]);
		done("tar", ["-xzf", join(PACKAGES, `l3dsr-${VERSION}-modules.tar.gz`), "-C", copy]);
		mkdirSync(join(copy, "build/prebuilt"), { recursive: true });
		for (const name of readdirSync(join(ROOT, "build/prebuilt"))) {
			if (name.endsWith(".tgz"))
				symlinkSync(join(ROOT, "build/prebuilt", name), join(copy, "build/prebuilt", name));
		}
		const offline = `umask 077; cd '${copy}'; sh packaging/deb.sh; DIST=el9 sh packaging/rpm.sh`;
		done("unshare", ["--net", "sh", "-euc", offline], { TZ: "Pacific/Auckland", LC_ALL: "C.UTF-8" });
		const built = readdirSync(join(copy, "build/packages")).sort();
		assert.deepEqual(
			built,
			[
				`l3dsr-${VERSION}-1.el9.src.rpm`,
				`l3dsr-${VERSION}-1.el9.${RPM_ARCH}.rpm`,
				`l3dsr-${VERSION}-modules.tar.gz`,
				`l3dsr-${VERSION}.tar.gz`,
				`l3dsr_${VERSION}-1_${DEB_ARCH}.deb`,
			].sort(),
		);
		for (const name of built) {
			const [there, here] = [join(copy, "build/packages", name), join(PACKAGES, name)];
			const same = sum(there) === sum(here);
			assert.ok(same, same ? "" : `${name} differs: ${differences(there, here)}`);
		}

		rmSync(join(copy, `build/packages/l3dsr-${VERSION}-1.el9.${RPM_ARCH}.rpm`));
		const source = join(PACKAGES, `l3dsr-${VERSION}-1.el9.src.rpm`);
		done("unshare", ["--net", "sh", join(copy, "packaging/rpm.sh"), "--rebuild", source], { DIST: "el9" });
		assert.equal(sum(join(copy, "build/packages", `l3dsr-${VERSION}-1.el9.${RPM_ARCH}.rpm`)), sum(RPM));
	});

	it("makes the files that the README and the migration guide install", () => {
		const documents = ["README.md", "docs/guide/migration.md"].map((name) =>
			readFileSync(join(ROOT, name), "utf8"),
		);
		const named = documents.join("\n").match(/\bl3dsr[-_]\d[\w.-]*\.(deb|rpm|tgz)\b/g) ?? [];
		assert.ok(named.length >= 5, named.join());
		for (const name of named) {
			const here = name.replace("amd64", DEB_ARCH).replace("x86_64", RPM_ARCH);
			assert.ok(existsSync(join(PACKAGES, here)), name);
		}
	});

	it("refuses an unknown system or processor, and names the known ones", () => {
		for (const [script, env, said] of [
			["packaging/deb.sh", { SUITE: "deb11" }, /SUITE is deb12, deb13, ubuntu24\.04 or ubuntu26\.04/],
			["packaging/rpm.sh", { DIST: "suse" }, /DIST is el8, el9, el10 or fc43/],
			["packaging/rpm.sh", { ARCH: "riscv64" }, /ARCH is amd64 \(x86_64\) or arm64 \(aarch64\)/],
		] as const) {
			const { status, stderr } = attempt("sh", [script], env);
			assert.equal(status, 2);
			assert.match(stderr, said);
		}
	});
});

describe("the systems' packages", () => {
	it("sort by release, so an upgrade of the system takes the newer system's package", () => {
		const suffixes = ["~deb12", "~deb13", "", "~ubuntu24.04", "~ubuntu26.04", ""];
		for (const [index, later] of suffixes.entries()) {
			const earlier = suffixes[index - 1];
			if (earlier === undefined || earlier === "") continue;
			done("dpkg", ["--compare-versions", `${VERSION}-1${earlier}`, "lt", `${VERSION}-1${later}`]);
		}
		const order = ["el8", "el9", "el10"].map((dist) => `1.${dist}`);
		for (const [index, later] of order.entries()) {
			const earlier = order[index - 1];
			if (earlier === undefined) continue;
			assert.equal(
				done("rpm", ["--eval", `%{lua: print(rpm.vercmp("${earlier}", "${later}"))}`]).trim(),
				"-1",
			);
		}
	});

	it("of a Debian release name that release", () => {
		for (const [suffix, codename] of [
			["~deb12", "bookworm"],
			["~deb13", "trixie"],
		] as const) {
			const file = join(PACKAGES, `l3dsr_${VERSION}-1${suffix}_${DEB_ARCH}.deb`);
			assert.equal(done("dpkg-deb", ["-f", file, "Version"]).trim(), `${VERSION}-1${suffix}`);
			const changelog = done("sh", [
				"-c",
				`dpkg-deb --fsys-tarfile '${file}' | tar -xO ./usr/share/doc/l3dsr/changelog.Debian.gz | gzip -d`,
			]);
			assert.ok(changelog.startsWith(`l3dsr (${VERSION}-1${suffix}) ${codename}; `), changelog);
		}
	});

	it("of an rpm require nothing that the rpm of Enterprise Linux 8 (4.14) lacks", () => {
		const query = (file: string, ...args: readonly string[]) => done("rpm", ["-qp", ...args, file]);
		const files = readdirSync(PACKAGES).filter((name) => name.endsWith(".rpm"));
		assert.ok(files.length >= 5, files.join());
		for (const name of files) {
			const file = join(PACKAGES, name);
			const compressor = name.endsWith(".src.rpm") ? "gzip" : "xz";
			assert.equal(query(file, "--queryformat", "%{PAYLOADCOMPRESSOR}"), compressor, name);
			const features = [...query(file, "--requires").matchAll(/^rpmlib\((\w+)\)/gm)].map(
				([, feature]) => feature,
			);
			for (const feature of features)
				assert.ok(
					["CompressedFileNames", "FileDigests", "PayloadFilesHavePrefix", "PayloadIsXz"].includes(
						feature ?? "",
					),
					`${name}: ${feature}`,
				);
		}
	});

	it("have the commands in /usr/sbin, or in /usr/bin if that is the same folder", () => {
		for (const [dist, folder, cpu] of [
			["el8", "/usr/sbin", OTHER.rpm],
			["el9", "/usr/sbin", RPM_ARCH],
			["fc43", "/usr/bin", RPM_ARCH],
		]) {
			const listed = done("rpm", ["-qlp", join(PACKAGES, `l3dsr-${VERSION}-1.${dist}.${cpu}.rpm`)]).split(
				"\n",
			);
			for (const command of COMMANDS)
				assert.ok(listed.includes(`${folder}/${command}`), `${dist}: ${command}`);
		}
	});
});

describe("the native files", () => {
	const find = (folder: string) =>
		done("find", [folder, "-type", "f", "(", "-name", "node", "-o", "-name", "*.node", ")"])
			.trim()
			.split("\n");

	it("need no newer glibc and libstdc++ than those of Enterprise Linux 8, for either processor", () => {
		for (const file of [DEB, join(PACKAGES, `l3dsr_${VERSION}-1_${OTHER.deb}.deb`)]) {
			const natives = find(join(unpacked(file), "usr/lib/l3dsr")).filter((path) => !path.includes("/bin/"));
			assert.equal(natives.length, 2, natives.join());
			assert.match(done("sh", ["packaging/abi.sh", ...natives]), /^2\.\d+$/m);
		}
		// The check can fail: this machine's programs need its own glibc.
		const { status, stderr } = attempt("sh", ["packaging/abi.sh", "/bin/ls", "/usr/bin/git"]);
		assert.equal(status, 1);
		assert.match(stderr, /need GLIBC_2\.\d+, and Enterprise Linux 8 has GLIBC_2\.28/);
	});

	it(`for ${OTHER.uname} are for that processor, and run there`, () => {
		const home = join(unpacked(join(PACKAGES, `l3dsr_${VERSION}-1_${OTHER.deb}.deb`)), "usr/lib/l3dsr");
		for (const native of find(home)) {
			assert.match(done("readelf", ["-h", native]), new RegExp(`Machine: .*${OTHER.machine}`));
		}
		const emulate = (...args: readonly string[]) =>
			done(`qemu-${OTHER.uname}-static`, [
				"-L",
				`/usr/${OTHER.uname}-linux-gnu`,
				join(home, "node"),
				...args,
			]);
		for (const command of COMMANDS) {
			assert.ok(emulate(join(home, "bin", command), "--version").includes(VERSION), command);
		}
		// The C library is called through koffi.
		const call = `const koffi = require("${home}/node_modules/koffi");
			console.log(process.arch, koffi.load("libc.so.6").func("int getpid()")() === process.pid);`;
		assert.equal(emulate("-e", call), `${OTHER.cpu} true\n`);

		// V8 does not check which processor a cache is for, and crashes with a foreign one.
		const caches = readdirSync(join(home, "dist")).filter((name) => name.endsWith(".cache"));
		const own = join(unpacked(DEB), "usr/lib/l3dsr/dist");
		assert.deepEqual(
			caches,
			readdirSync(own).filter((name) => name.endsWith(".cache")),
		);
		assert.notEqual(caches.length, 0);
		for (const cache of caches) assert.notEqual(sum(join(home, "dist", cache)), sum(join(own, cache)), cache);
		const rejected = `const { readFileSync } = require("node:fs");
			for (const cache of ${JSON.stringify(caches)}) {
				const filename = cache.replace(/\\.cache$/, "");
				const source = readFileSync("${home}/dist/" + filename, "latin1");
				const cachedData = readFileSync("${home}/dist/" + cache);
				console.log(new (require("node:vm").Script)(source, { filename, cachedData }).cachedDataRejected);
			}`;
		assert.equal(emulate(...FLAGS, "-e", rejected), "false\n".repeat(caches.length));

		const rpm = unpacked(join(PACKAGES, `l3dsr-${VERSION}-1.el8.${OTHER.rpm}.rpm`));
		done("diff", ["-r", home, join(rpm, "usr/lib/l3dsr")]);
	});
});
