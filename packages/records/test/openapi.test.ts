import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { assertDescribed, OPENAPI } from "../../../test/support/records.ts";

describe("docs/reference/openapi.yaml", () => {
	it("is a valid OpenAPI 3.1 document", async () => {
		const validator = new Validator();
		const { valid, errors } = await validator.validate(structuredClone(OPENAPI) as Record<string, unknown>);
		assert.deepEqual([valid, errors, validator.version], [true, undefined, "3.1"]);
	});

	it("tells a response that it describes from one that it does not", () => {
		const type = "application/json";
		const findings = { schema: "l3dsr.findings/1", time: "2026-01-02T03:04:05.678Z", findings: [] };
		const body = JSON.stringify(findings);
		assertDescribed("/v1/findings", { status: 200, type, body });
		for (const [path, response] of [
			["/v1/findings", { status: 200, type, body: JSON.stringify({ ...findings, time: "today" }) }],
			["/v1/findings", { status: 200, type, body: JSON.stringify({ ...findings, findings: undefined }) }],
			["/v1/findings", { status: 200, type: "text/plain", body }],
			["/v1/findings", { status: 204, type, body: "" }],
			["/v1/status", { status: 200, type, body }],
			["/v2/findings", { status: 200, type, body }],
		] as const) {
			assert.throws(() => assertDescribed(path, response), assert.AssertionError, JSON.stringify(response));
		}
	});
});
