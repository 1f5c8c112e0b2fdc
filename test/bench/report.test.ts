import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { bar, type Report, renderReport, replaceGenerated } from "../../bench/report.ts";

const report: Report = {
	machine: { cpu: "A CPU", cpus: 2, kernel: "6.18.0", node: "20.1.0", date: "2026-01-02" },
	effort: "quick",
	bars: [bar("a share", [0.2, 0.1, 0.3], 0.25, 2), bar("a time", [9, 9, 12], 8, 1, "ns")],
	tables: [
		{
			title: "A table",
			note: "What it shows.",
			columns: [
				{ name: "ns", digits: 0 },
				{ name: "added", digits: 1 },
			],
			rows: [{ name: "nothing", cells: [{ median: 10.4, min: 9.6, max: 12 }] }],
		},
	],
};

test("the report shows each bar with the measured figure and whether it is met", () => {
	assert.equal(
		renderReport(report),
		`Measured on 2026-01-02: A CPU (2 CPUs), Linux 6.18.0, Node 20.1.0, few rounds.

## The bar

|  | measured | at most |  |
| --- | --: | --: | --: |
| a share | 0.20 (0.10 … 0.30) | 0.25 | met |
| a time | 9.0 (9.0 … 12.0) ns | 8 ns | **missed** |

## A table

What it shows.

|  | ns | added |
| --- | --: | --: |
| nothing | 10 (10 … 12) |  |`,
	);
});

test("the page in docs has a place for the tables, and keeps the text around it", () => {
	const page = readFileSync(new URL("../../docs/performance.md", import.meta.url), "utf8");
	const once = replaceGenerated(page, "| tables |");
	assert.match(once, /^# Performance[\s\S]*begin -->\n\n\| tables \|\n\n<!--[\s\S]*end -->\n/);
	assert.equal(replaceGenerated(once, "| tables |"), once);
	assert.throws(() => replaceGenerated("no markers", ""), RangeError);
});
