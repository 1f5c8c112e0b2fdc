/** Compares the table of docs/guide/capacity.md with the real size of the tables. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { tableSpecs } from "../../src/balance/tables/layout.ts";
import { capacityFor } from "../../src/balance/tables/plan.ts";
import { real, wishOf } from "./wire.ts";

const PAGE = fileURLToPath(new URL("../../../../docs/guide/capacity.md", import.meta.url));

test("the tables take the memory that the capacity page names", () => {
	const rows = [
		...readFileSync(PAGE, "utf8").matchAll(/^\| ([\d,]+) \| (\d+) \| (\d+) MB \| ([\d.]+) MB \|$/gm),
	];
	assert.equal(rows.length, 6);
	const [service] = wishOf([real(1)]).services;
	assert.ok(service !== undefined);
	for (const [, services = "", reals, tables, perCpu] of rows) {
		const count = Number(services.replace(",", ""));
		const [one] = service.reals;
		assert.ok(one !== undefined);
		const wish = {
			addresses: [],
			services: Array.from({ length: count }, () => ({ ...service, reals: Array(Number(reals)).fill(one) })),
		};
		const capacity = capacityFor(wish);
		const { counters, ...shared } = tableSpecs({ ...capacity, vipBits: Math.ceil(Math.log2(count * 4)) });
		const bytes = Object.values(shared).reduce((sum, { valueSize }) => sum + valueSize, 0);
		assert.equal(Math.round(bytes / 1e6), Number(tables), `${services} services of ${reals}`);
		const { flows, fragments } = shared;
		const own = bytes - flows.valueSize - fragments.valueSize;
		if (Number(reals) === 100) assert.ok(own / count <= 300e3, `${own / count} bytes for each service`);
		const counted = (counters.valueSize * counters.maxEntries) / 1e6;
		assert.ok(
			counted <= Number(perCpu) && counted > Number(perCpu) - 0.2,
			`counters of ${services}: ${counted}`,
		);
	}
});
