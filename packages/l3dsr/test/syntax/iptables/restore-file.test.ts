import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { runs } from "../../../../../test/support/property-runs.ts";
import { L3dsrError } from "../../../src/errors.ts";
import { type Counters, type Rule, ZERO_COUNTERS } from "../../../src/model/rule.ts";
import { saveTable } from "../../../src/syntax/iptables/listing.ts";
import { NO_SERVICES } from "../../../src/syntax/iptables/names.ts";
import { parseRestoreFile } from "../../../src/syntax/iptables/restore-file.ts";
import { arbitraryRule } from "../../arbitrary/rule.ts";

const context = { family: "ipv4", source: "rules", services: NO_SERVICES, counters: true } as const;

test("1,000 random rulesets are the same after save and restore, with counters and order", () => {
	const count = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
	const counters: fc.Arbitrary<Counters> = fc
		.tuple(count, count)
		.map(([packets, bytes]) => ({ packets, bytes }));
	fc.assert(
		fc.property(
			fc.constantFrom("ipv4", "ipv6").chain((family) =>
				fc.tuple(
					fc.constant(family),
					fc.array(fc.record({ rule: arbitraryRule({ family }), counters }, { noNullPrototype: true }), {
						maxLength: 6,
					}),
				),
			),
			([family, listed]) => {
				const text = (["raw", "mangle"] as const)
					.map((table) =>
						saveTable(
							table,
							(chain) => listed.filter(({ rule }) => rule.table === table && rule.chain === chain),
							true,
						),
					)
					.join("");
				const tables = parseRestoreFile(text, { ...context, family });
				const again = tables.flatMap(({ commands }) =>
					commands.flatMap((command): { rule: Rule; counters: Counters }[] => {
						assert.equal(command.kind, "append");
						return command.rules.map((rule) => ({ rule, counters: command.counters ?? ZERO_COUNTERS }));
					}),
				);
				const key = ({ rule }: { rule: Rule }): string => `${rule.table} ${rule.chain}`;
				for (const place of new Set(listed.map(key))) {
					assert.deepEqual(
						again.filter((one) => key(one) === place),
						listed.filter((one) => key(one) === place),
					);
				}
				assert.equal(again.length, listed.length);
			},
		),
		{ numRuns: runs(1000) },
	);
});

test("comments, empty lines, Windows line ends and trailing blanks are accepted", () => {
	const text =
		"# saved\r\n\r\n*raw\r\n:PREROUTING ACCEPT [5:6]\r\n-A PREROUTING -j DADDR --set-daddr 192.0.2.1 \r\nCOMMIT\r\n#";
	const [table, more] = parseRestoreFile(text, context);
	assert.equal(more, undefined);
	assert.equal(table?.commands.length, 1);
});

test("all faults of a file are reported at once, by line", () => {
	const lines = [
		"*raw",
		"-A PREROUTING -j DADDR",
		"-A OUTPUT -m dscp --dscp 99 -j DADDR --set-daddr 192.0.2.1",
		"what",
		"COMMIT",
	];
	assert.throws(
		() => parseRestoreFile(lines.join("\n"), context),
		(error) => {
			assert.ok(error instanceof L3dsrError);
			assert.deepEqual(
				error.diagnostics.map(({ code, position }) => [
					code,
					position?.source,
					position?.line,
					position?.column,
				]),
				[
					["RULE_MISSING", "rules", 2, 18],
					["RULE_BAD_VALUE", "rules", 3, 26],
					["RULE_SYNTAX", "rules", 4, 1],
				],
			);
			return true;
		},
	);
});

test("any text is read or refused, without an exception", () => {
	const piece = fc.constantFrom(
		"*raw",
		"*mangle",
		":OUTPUT",
		"COMMIT",
		"-A",
		"OUTPUT",
		"[1:2]",
		"[",
		'"',
		"\\",
		" ",
		"\n",
		"-j DADDR --set-daddr 1.1.1.1",
		"-6",
		"#",
	);
	fc.assert(
		fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 4 })), { maxLength: 20 }), (pieces) => {
			try {
				parseRestoreFile(pieces.join(""), context);
			} catch (error) {
				assert.ok(error instanceof L3dsrError, String(error));
			}
		}),
		{ numRuns: runs(2000) },
	);
});
