/** Hosts for installing packages, with their own root and network namespace and without Node. */
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));
/** Where the packages are built. */
export const PACKAGES: string = join(ROOT, "build/packages");
export const VERSION: string = JSON.parse(
	readFileSync(join(ROOT, "packages/l3dsr/package.json"), "utf8"),
).version;

export const COMMANDS: readonly string[] = [
	"l3dsr",
	"dsrctl",
	...["iptables-daddr", "ip6tables-daddr"].flatMap((name) => [name, `${name}-save`, `${name}-restore`]),
];

const arm = process.arch === "arm64";
export const DEB_ARCH = arm ? "arm64" : "amd64";
export const RPM_ARCH = arm ? "aarch64" : "x86_64";
export const DEB: string = join(PACKAGES, `l3dsr_${VERSION}-1_${DEB_ARCH}.deb`);
export const RPM: string = join(PACKAGES, `l3dsr-${VERSION}-1.el9.${RPM_ARCH}.rpm`);

/** The other processor than this machine's, and the names of its packages. */
export const OTHER = arm
	? { cpu: "x64", uname: "x86_64", machine: "X86-64", deb: "amd64", rpm: "x86_64" }
	: { cpu: "arm64", uname: "aarch64", machine: "AArch64", deb: "arm64", rpm: "aarch64" };

export function attempt(
	program: string,
	args: readonly string[],
	env: NodeJS.ProcessEnv = {},
): SpawnSyncReturns<string> {
	return spawnSync(program, args, {
		cwd: ROOT,
		encoding: "utf8",
		maxBuffer: 1 << 26,
		env: { ...process.env, ...env },
	});
}

/** Output of a program that must succeed. */
export function done(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): string {
	const { status, stdout, stderr, error } = attempt(program, args, env);
	assert.equal(status, 0, `${program} ${args.join(" ")}\n${error ?? ""}${stdout}${stderr}`);
	return stdout;
}

/** A minimal Debian, created at the first request; see debian-root.sh. */
export function debianRoot(suite: "bookworm" | "trixie"): string {
	return done("sh", ["packaging/test/debian-root.sh", suite]).trim();
}

let made = 0;

export class Host implements Disposable {
	readonly netns: string;
	readonly directory: string;
	readonly #lower: string;

	/** `lower`: the initial files; default: those of this machine without its Node. */
	constructor(lower?: string) {
		this.netns = `l3pkg${process.pid}-${++made}`;
		this.directory = mkdtempSync("/tmp/l3dsr-host-");
		this.#lower = lower ?? "/";
		done("mount", ["-t", "tmpfs", "-o", "size=1g", "tmpfs", this.directory]);
		for (const name of ["upper", "work", "root", "packages"]) mkdirSync(join(this.directory, name));
		done("ip", ["netns", "add", this.netns]);
		done("ip", ["-n", this.netns, "link", "set", "lo", "up"]);
		// Removes Node everywhere: programs from here on bring their own.
		if (lower === undefined) this.run("rm -f $(which -a node nodejs npm npx) /usr/local/bin/node");
		this.run("! command -v node");
	}

	/** The path of `file` on the host, in the folder where its commands start. */
	put(file: string): string {
		copyFileSync(file, join(this.directory, "packages", basename(file)));
		return basename(file);
	}

	/** Runs shell commands; returns their output, or fails with all of it. */
	run(commands: string): string {
		return done("sh", this.#script(commands));
	}

	attempt(commands: string): SpawnSyncReturns<string> {
		return attempt("sh", this.#script(commands));
	}

	#script(commands: string): readonly string[] {
		return ["packaging/test/private-host.sh", this.#lower, this.netns, this.directory, commands];
	}

	[Symbol.dispose](): void {
		attempt("ip", ["netns", "del", this.netns]);
		attempt("umount", [this.directory]);
		rmSync(this.directory, { recursive: true });
	}
}

/** A test for every package: each command prints its version and its help. */
export function everyCommandAnswers(run: (commands: string) => string): void {
	const script = COMMANDS.map((command) => `${command} --version; ${command} --help >/dev/null`).join("; ");
	const lines = run(script).trim().split("\n");
	assert.equal(lines.length, COMMANDS.length, lines.join("\n"));
	for (const line of lines) assert.ok(line.includes(VERSION), line);
}
