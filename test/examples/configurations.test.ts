import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lowerService } from "../../packages/l3dsr/src/model/lower-service.ts";
import { parseConfig } from "../../packages/l3dsr/src/syntax/config/parse-config.ts";
import { conflictDiagnostics } from "../../packages/l3dsr/src/syntax/config/service-conflicts.ts";
import { ROOT } from "../support/commands.ts";

const folder = join(ROOT, "examples");
const files = readdirSync(folder).filter((name) => name.endsWith(".yaml"));

test("there are examples", () => assert(files.length >= 6));

for (const name of files) {
	test(`examples/${name} is valid, without conflicts, and selects something`, () => {
		const text = readFileSync(join(folder, name), "utf8");
		const { configuration, placed } = parseConfig(text, name);
		assert.deepEqual(conflictDiagnostics(placed), []);
		const options = { table: configuration.table, localOnly: true, signed: true };
		const rules = configuration.services.flatMap((service) => lowerService(service, options));
		assert(rules.length > 0);
		assert.match(text, /^#/, "says what it is for");
	});
}
