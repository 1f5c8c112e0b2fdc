/**
 * How the nft of this host lists a rule, where that is not how `statement.ts` says: versions of nft differ in
 * it. Asked of nft itself, in a network namespace made for the question, and only when a listing holds
 * something unexpected.
 */
import type { ProgramRunner } from "../../../host/process.ts";
import { createTable } from "../compile/change.ts";
import { parseListing } from "../compile/listing.ts";
import { nftFamily } from "../compile/statement.ts";
import { type Dialect, ruleText, TABLE_NAME, type TableSpec } from "../compile/table.ts";

/** Loads the table aside and reads it back; nothing is learnt where that does not work. */
export async function learnDialect(programs: ProgramRunner, spec: TableSpec): Promise<Dialect> {
	const dialect = new Map<string, string>();
	const input = createTable(spec)
		.map(({ text }) => `${text}\n`)
		.join("");
	const script = 'nft -f - && exec nft -n -j list table "$1" "$2"';
	const args = ["--net", "sh", "-c", script, "sh", nftFamily(spec.family), TABLE_NAME];
	const { exitCode, stdout } = await programs.run("unshare", args, { input });
	if (exitCode !== 0) return dialect;
	const listing = parseListing(stdout, spec.family);
	for (const { name, rules } of spec.chains) {
		const listed = listing.chains.get(name)?.rules ?? [];
		if (listed.length !== rules.length) continue;
		for (const [index, rule] of rules.entries()) {
			const text = listed[index]?.text;
			if (text !== undefined) dialect.set(ruleText(rule), text);
		}
	}
	return dialect;
}
