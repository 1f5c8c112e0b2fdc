import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { assertRecords } from "../../../test/support/records.ts";

const folder = new URL("../samples/", import.meta.url);

describe("the samples", () => {
	for (const file of readdirSync(folder)) {
		it(`${file} is what its schema describes, with no field that the schema does not know`, () => {
			assertRecords(JSON.stringify(JSON.parse(readFileSync(new URL(file, folder), "utf8"))));
		});
	}
});
