import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { describe, it } from "node:test";
import { BpfError } from "@l3dsr/bpf";
import { LinuxError } from "@l3dsr/linux";
import { NftablesError } from "@l3dsr/nftables";
import { PacketError } from "@l3dsr/packet";
import { codeOf, diagnosticsOf, exitCodeOf } from "../../src/cli/error-table.ts";
import { L3dsrError, withNotes } from "../../src/errors.ts";
import { explaining } from "../../src/inspect/failure-text.ts";
import { ReconcileError } from "../../src/reconcile/failure.ts";

describe("the error for a user", () => {
	it("keeps message and hint of library errors, and has a code and an exit code", () => {
		const errors = [
			new LinuxError("PERMISSION", "open a socket: EPERM", { hint: "run it as root" }),
			new NftablesError("CHANGED", "change the ruleset: ERESTART"),
			new BpfError("FEATURE", "attach a program: no tcx", { notes: ["Linux 6.5"] }),
			new PacketError("CAPTURE_FORMAT", "read a.pcap: neither pcap nor pcapng"),
		];
		assert.deepEqual(errors.map(diagnosticsOf), [
			[{ code: "KERNEL_PERMISSION", message: "open a socket: EPERM", hint: "run it as root" }],
			[{ code: "DATAPATH_CHANGED", message: "change the ruleset: ERESTART" }],
			[{ code: "KERNEL_FEATURE", message: "attach a program: no tcx", notes: ["Linux 6.5"] }],
			[{ code: "CAPTURE_FORMAT", message: "read a.pcap: neither pcap nor pcapng" }],
		]);
		assert.deepEqual(errors.map(exitCodeOf), [1, 1, 3, 1]);
	});

	it("tells the operator what to do about a refused command, not the program that sent it", () => {
		const refused = (code: "REFUSED" | "PERMISSION"): NftablesError =>
			new NftablesError(code, "add chain ip t c: EBUSY", { command: 2, hint: "for a program" });
		assert.match(diagnosticsOf(refused("REFUSED"))[0].hint ?? "", /^run the same command again; if /);
		assert.equal(diagnosticsOf(refused("PERMISSION"))[0].hint, "for a program");
	});

	it("names a missing file, and calls an unexpected error a bug", () => {
		const failureOf = (work: () => unknown): unknown => {
			try {
				work();
			} catch (error) {
				return error;
			}
			return assert.fail("nothing was thrown");
		};
		const [missing] = diagnosticsOf(failureOf(() => statSync("/proc/nothing")));
		assert.equal(missing.code, "KERNEL_SYSCALL");
		assert.match(missing.message, /^stat \/proc\/nothing: /);
		assert.equal(missing.hint, "mount it: mount -t proc proc /proc");
		const path = "/proc/sys/net/ipv4/conf/all/forwarding";
		const readOnly = Object.assign(new Error(`EROFS: read-only file system, open '${path}'`), {
			code: "EROFS",
			errno: -30,
			syscall: "open",
			path,
		});
		assert.match(diagnosticsOf(readOnly)[0].hint ?? "", /^this container has a read-only \/proc\/sys: /);
		const [unexpected] = diagnosticsOf(new TypeError("x is undefined"));
		assert.equal(unexpected.code, "INTERNAL");
		assert.equal(unexpected.message, "unexpected failure: x is undefined");
	});

	it("has the notes of every layer after those of the failure, whose code and exit code stay", () => {
		const bpf = new BpfError("FEATURE", "attach a program: no tcx", { notes: ["one"] });
		const twice = withNotes(withNotes(bpf, ["two"]), ["three"]);
		assert.deepEqual(diagnosticsOf(twice)[0].notes, ["one", "two", "three"]);
		assert.equal(codeOf(twice), "KERNEL_FEATURE");
		assert.equal(exitCodeOf(twice), 3);
		const ours = new L3dsrError({ code: "DATAPATH_FOREIGN", message: "read the rules" });
		const noted = withNotes(ours, ["two"]);
		assert.ok(noted instanceof L3dsrError);
		assert.deepEqual(diagnosticsOf(noted)[0].notes, ["two"]);
		assert.equal(noted.cause, ours);
	});

	it("shows what was undone after a failed change, and has the host's state in its causes", async () => {
		const failure = {
			kind: "failed",
			error: new LinuxError("SYSCALL", "add 10.0.0.1 to lo: ENOMEM"),
		} as const;
		const reconciling = new ReconcileError(failure, { steps: [] });
		const error = await explaining(() => Promise.reject(reconciling)).catch((one: unknown) => one);
		assert.deepEqual(diagnosticsOf(error), [
			{ code: "KERNEL_SYSCALL", message: "add 10.0.0.1 to lo: ENOMEM", notes: ["nothing had been changed"] },
		]);
		assert.ok(error instanceof Error);
		assert.equal(error.cause, reconciling);
	});
});
