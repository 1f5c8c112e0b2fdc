/** The nft datapath: compiles a ruleset to nftables, applies what changed, observes it back. */

import { type NftFamily, nftTableExists } from "@l3dsr/linux";
import type { Family } from "@l3dsr/packet";
import { L3dsrError } from "../../../errors.ts";
import type { ProgramRunner } from "../../../host/process.ts";
import type { Ruleset } from "../../../model/ruleset.ts";
import type { Datapath, Snapshot } from "../../datapath.ts";
import { type Change, type Command, planChange, type Standing } from "../compile/change.ts";
import { ruleReader } from "../compile/comment.ts";
import { parseListing } from "../compile/listing.ts";
import { readTable } from "../compile/observe.ts";
import { nftFamily } from "../compile/statement.ts";
import { TABLE_NAME } from "../compile/table.ts";
import { learnDialect } from "./dialect.ts";

const FAMILIES: readonly Family[] = ["ipv4", "ipv6"];
type Standings = { readonly [family in Family]: Standing | undefined };

export class NftDatapath implements Datapath {
	readonly name = "nft";
	readonly #programs: ProgramRunner;
	readonly #hasTable: (family: NftFamily) => boolean | undefined;
	readonly #readRule = ruleReader();
	readonly #dialect = new Map<string, string>();

	/** `programs` may run elsewhere than this process; then `hasTable` says what it would see there. */
	constructor(programs: ProgramRunner, hasTable = tableExists) {
		this.#programs = programs;
		this.#hasTable = hasTable;
	}

	async observe(): Promise<Snapshot> {
		const [ipv4, ipv6] = await Promise.all([this.#list("ipv4"), this.#list("ipv6")]);
		const readings = [ipv4, ipv6].flatMap((standing) => (standing === undefined ? [] : [standing.reading]));
		return {
			rules: readings.flatMap(({ rules }) => rules),
			findings: readings.flatMap(({ findings }) => findings),
			change: (desired) => this.#change(desired, { ipv4, ipv6 }),
		};
	}

	/** `standings`: what was observed, with the handles of rules and the names of maps. */
	async #change(desired: Ruleset, standings: Standings): Promise<void> {
		const changes = FAMILIES.map((family) =>
			planChange(
				family,
				desired.entries.filter(({ rule }) => rule.family === family),
				standings[family],
				this.#dialect,
			),
		);
		const gather = (part: keyof Change): Command[] => changes.flatMap((change) => change[part]);
		await this.#run(gather("prepare"));
		try {
			await this.#run(gather("swap"));
		} catch (error) {
			// Maps that nothing looks up do no harm; should this fail too, the next change removes them.
			await this.#run(gather("undo")).catch(() => {});
			throw error;
		}
		// The new rules are in force. What is left of the old ones does nothing and is removed next time.
		await this.#run(gather("cleanUp")).catch(() => {});
	}

	/** Undefined when the family has no table. */
	async #list(family: Family): Promise<Standing | undefined> {
		if (this.#hasTable(nftFamily(family)) === false) return undefined;
		const table = ["table", nftFamily(family), TABLE_NAME];
		const result = await this.#programs.run("nft", ["-n", "-j", "list", ...table]);
		if (result.exitCode !== 0) {
			if (/No such file or directory/.test(result.stderr)) return undefined;
			throw refusal(`list ${table.join(" ")}`, result.stderr, []);
		}
		const listing = parseListing(result.stdout, family);
		const reading = readTable(listing, this.#readRule, this.#dialect);
		if (reading.findings.length === 0) return { listing, reading };
		// Somebody changed something, or this nft lists rules in another way.
		for (const [text, listed] of await learnDialect(this.#programs, reading.spec)) {
			this.#dialect.set(text, listed);
		}
		return { listing, reading: readTable(listing, this.#readRule, this.#dialect) };
	}

	async #run(commands: readonly Command[]): Promise<void> {
		if (commands.length === 0) return;
		const input = commands.map(({ text }) => `${text}\n`).join("");
		const result = await this.#programs.run("nft", ["-f", "-"], { input });
		if (result.exitCode !== 0) throw refusal("change the rules", result.stderr, commands);
	}
}

function tableExists(family: NftFamily): boolean | undefined {
	return nftTableExists(family, TABLE_NAME);
}

/** nft's report, with the rule that it is about. */
function refusal(attempt: string, stderr: string, commands: readonly Command[]): L3dsrError {
	const said = stderr.trim().split("\n");
	const first = (said.find((line) => line.includes("Error:")) ?? said[0] ?? "").replace(/^.*?Error: /, "");
	if (/Operation not permitted/.test(stderr)) {
		return new L3dsrError({
			code: "KERNEL_PERMISSION",
			message: `nft: ${attempt}: ${first}`,
			hint: "run this as root",
		});
	}
	if (/Protocol not supported|cache initialization failed/.test(stderr)) {
		return new L3dsrError({
			code: "KERNEL_FEATURE",
			message: `nft: ${attempt}: the running kernel has no nf_tables: ${first}`,
			hint: "load it with modprobe nf_tables, or boot a kernel that has CONFIG_NF_TABLES",
		});
	}
	const line = /^[^\s:]*:(\d+):\d+-\d+: Error:/m.exec(stderr)?.[1];
	const command = line === undefined ? undefined : commands[Number(line) - 1];
	const about = command?.about === undefined ? "" : `: rule ${command.about}`;
	return new L3dsrError({
		code: "PROGRAM_FAILED",
		message: `nft: ${attempt}${about}: ${first === "" ? "nft reported failure and said nothing" : first}`,
		...(command === undefined ? {} : { notes: [`nft was given: ${command.text}`] }),
	});
}
