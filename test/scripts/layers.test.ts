/** Layouts that `make check` refuses: each fault is made in a copy of the sources. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { FROM_SOURCE } from "../support/node.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The result of the check after `change` was made to a copy of the sources. */
function checkAfter(change: (root: string) => void): {
	readonly status: number | null;
	readonly said: string;
} {
	const root = mkdtempSync(join(tmpdir(), "l3dsr-layers-"));
	try {
		for (const name of readdirSync(join(ROOT, "packages"))) {
			mkdirSync(join(root, "packages", name), { recursive: true });
			for (const part of ["src", "package.json"]) {
				cpSync(join(ROOT, "packages", name, part), join(root, "packages", name, part), { recursive: true });
			}
		}
		change(root);
		const script = join(ROOT, "scripts/check-layers.ts");
		const { status, stdout, stderr } = spawnSync(process.execPath, [...FROM_SOURCE, script, root], {
			encoding: "utf8",
		});
		return { status, said: stdout + stderr };
	} finally {
		rmSync(root, { recursive: true });
	}
}

test("accepts the sources as they are", () => {
	const { status, said } = checkAfter(() => {});
	assert.equal(status, 0, said);
});

test("refuses an import cycle, an undeclared import, and an import from a higher layer", () => {
	const { status, said } = checkAfter((root) => {
		const add = (file: string, line: string) => appendFileSync(join(root, "packages", file), `\n${line}\n`);
		add(
			"packet/src/bytes.ts",
			'import type { ParsedPacket } from "./parse.ts";\nexport type Circle = ParsedPacket;',
		);
		add("packet/src/dscp.ts", 'export * as bpf from "@l3dsr/bpf";');
		add("l3dsr/src/model/rule.ts", 'export type { HostLockOptions } from "../host/lock.ts";');
	});
	assert.equal(status, 1);
	assert.match(said, /import cycle: packages\/packet\/src\/\S+ -> .*packages\/packet\/src\/bytes\.ts/);
	assert.match(said, /packages\/packet\/src\/dscp\.ts: packages\/packet does not declare @l3dsr\/bpf/);
	assert.match(said, /packages\/l3dsr\/src\/model\/rule\.ts: model may not import host/);
});

test("refuses an import from a folder that is closed to the layer, and a permission that nobody uses", () => {
	const { status, said } = checkAfter((root) => {
		const src = join(root, "packages/l3dsr/src");
		appendFileSync(
			join(src, "balance/hash.ts"),
			'\nexport type { Change } from "../rewrite/nft/compile/change.ts";\n',
		);
		rmSync(join(src, "vip-path"), { recursive: true });
	});
	assert.equal(status, 1);
	assert.match(said, /balance\/hash\.ts: balance may not import rewrite/);
	assert.match(said, /vip-path may import programs, but does not: forbid it/);
});
