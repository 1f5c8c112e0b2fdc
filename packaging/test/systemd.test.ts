/** The .deb on a minimal bookworm booted by systemd, in its own container. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { waitFor } from "../../test/support/netns.ts";
import { attempt, DEB, DEB_ARCH, debianRoot, done, PACKAGES, ROOT, VERSION } from "./host.ts";

const OLD = join(PACKAGES, `l3dsr_${VERSION}-1~deb12_${DEB_ARCH}.deb`);

class Machine {
	readonly #root: string;
	#container: ChildProcess | undefined;

	constructor(root: string) {
		this.#root = root;
	}

	async boot(): Promise<void> {
		// By default, containers may not use bpf(2).
		const isolated = [
			"--register=no",
			"--keep-unit",
			"--private-network",
			"--link-journal=no",
			"--capability=all",
		];
		this.#container = spawn(
			"systemd-nspawn",
			["--quiet", ...isolated, "--system-call-filter=bpf", `--directory=${this.#root}`, "--boot"],
			{ stdio: "ignore" },
		);
		await waitFor(
			"booted system",
			() => /^(running|degraded)/.test(this.attempt("systemctl is-system-running").stdout),
			60_000,
		);
	}

	/**
	 * Process id of the container's systemd, or nothing: at first there is another child, which starts it.
	 */
	#init(): string {
		const pid = this.#container?.pid;
		return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
	}

	async powerOff(): Promise<void> {
		const ended = once(this.#container as ChildProcess, "close"); // booted before
		attempt("kill", ["-s", "RTMIN+3", this.#init()]);
		await ended;
		this.#container = undefined;
	}

	run(commands: string): string {
		const { status, stdout, stderr } = this.attempt(commands);
		assert.equal(status, 0, `${commands}\n${stdout}${stderr}`);
		return stdout;
	}

	attempt(commands: string): { status: number | null; stdout: string; stderr: string } {
		const environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"];
		return attempt("nsenter", ["--target", this.#init(), "--all", ...environment, "sh", "-euc", commands]);
	}

	stop(): void {
		this.#container?.kill("SIGKILL");
	}
}

describe("under systemd", () => {
	const directory = mkdtempSync("/tmp/l3dsr-machine-");
	const root = join(directory, "root");
	const machine = new Machine(root);
	const state = () => machine.run("nft -s -a list ruleset; ip -o address show dev lo");

	before(async () => {
		done("mount", ["-t", "tmpfs", "-o", "size=1g", "tmpfs", directory]);
		for (const name of ["upper", "work", "root"]) mkdirSync(join(directory, name));
		const layers = `lowerdir=${debianRoot("bookworm")},upperdir=${directory}/upper,workdir=${directory}/work`;
		done("mount", ["-t", "overlay", "-o", layers, "overlay", root]);
		mkdirSync(join(root, "packages"));
		for (const file of [OLD, DEB]) copyFileSync(file, join(root, "packages", basename(file)));
		await machine.boot();
	});
	after(() => {
		machine.stop();
		done("umount", ["--lazy", root]);
		done("umount", ["--lazy", directory]);
		rmSync(directory, { recursive: true });
	});

	it("the package's unit makes the host match its file", () => {
		machine.run(`dpkg -i /packages/${basename(OLD)}
			echo 'services: [{ vip: 192.0.2.10, dscp: 7 }]' > /etc/l3dsr/l3dsr.yaml
			systemctl enable --now l3dsr`);
		assert.match(machine.run("systemctl is-active l3dsr"), /^active$/m);
		assert.match(state(), /192\.0\.2\.10\/32[\s\S]*lo:1/);
		machine.run("systemctl reload l3dsr");
		assert.equal(machine.run("journalctl -u l3dsr --output=cat | grep -E 'error|SYS' || :"), "");
	});

	it("rules and the silence on ARP survive nftables.service, with the guide's drop-in", async () => {
		const guide = readFileSync(join(ROOT, "docs/guide/real-server.md"), "utf8");
		const dropIn = /```ini\n(\[Service\]\nExecStartPost=[\s\S]*?)```/.exec(guide)?.[1];
		assert.ok(dropIn !== undefined, "the guide no longer has the drop-in");
		mkdirSync(join(root, "etc/systemd/system/nftables.service.d"), { recursive: true });
		writeFileSync(join(root, "etc/systemd/system/nftables.service.d/l3dsr.conf"), dropIn);
		machine.run("systemctl daemon-reload");
		for (const action of ["start", "reload", "restart", "stop"]) {
			machine.run(`nft add table ip of-others; systemctl ${action} nftables`);
			// It has flushed every table, including ours.
			assert.doesNotMatch(state(), /of-others/, action);
			await waitFor(`rules after ${action}`, () => machine.attempt("l3dsr diff").status === 0);
		}
		machine.run("systemctl is-active l3dsr");
	});

	it("the process that speaks HTTP has its own user, who cannot log in", () => {
		assert.match(machine.run("getent passwd l3dsr"), /:\/usr\/sbin\/nologin$/m);
	});

	it("an upgrade and a downgrade keep the unit and its rules", () => {
		const unit = () =>
			machine.run("systemctl show l3dsr -p ActiveState,ActiveEnterTimestampMonotonic,InvocationID");
		const before = unit() + state();
		for (const file of [DEB, OLD]) {
			machine.run(`dpkg -i /packages/${basename(file)}`);
			assert.equal(unit() + state(), before);
		}
	});

	it("an upgrade and a downgrade restart a running agent, with nothing changed in the kernel", () => {
		machine.run("systemctl start l3dsr-agent");
		const agent = () => machine.run("systemctl show l3dsr-agent -p MainPID,ActiveState");
		let former = agent();
		assert.match(former, /ActiveState=active/);
		const before = state();
		for (const file of [DEB, OLD]) {
			machine.run(`dpkg -i /packages/${basename(file)}`);
			assert.match(agent(), /ActiveState=active/);
			assert.notEqual(agent(), former);
			assert.equal(state(), before);
			former = agent();
		}
		machine.run("systemctl stop l3dsr-agent");
	});

	it("rules and addresses are there after a boot", async () => {
		await machine.powerOff();
		await machine.boot();
		assert.match(machine.run("systemctl is-active l3dsr"), /^active$/m);
		assert.match(state(), /--set-daddr 192\.0\.2\.10[\s\S]*192\.0\.2\.10\/32/);
	});

	it("removal stops the unit, and nothing remains or has failed", () => {
		machine.run("mkdir /var/lib/l3dsr; echo '{}' > /var/lib/l3dsr/l3dsr.state.json; dpkg -r l3dsr");
		assert.doesNotMatch(state(), /192\.0\.2\.10|l3dsr/);
		assert.match(machine.run("systemctl list-units --all 'l3dsr*' --no-legend; echo none"), /^none$/m);
		assert.equal(machine.run("systemctl list-units --failed --no-legend"), "");
		assert.equal(machine.run("ls /etc/systemd/system/multi-user.target.wants | grep l3dsr || :"), "");
		const left = "find /run /var/lib /usr -xdev -name '*l3dsr*' -not -path '/var/lib/dpkg/*'";
		assert.equal(machine.run(left), "/var/lib/l3dsr\n/var/lib/l3dsr/l3dsr.state.json\n");
		machine.run("dpkg -P l3dsr");
		assert.equal(machine.run(left), "");
		assert.equal(machine.run("ls /etc/l3dsr"), "l3dsr.yaml\n");
	});
});
