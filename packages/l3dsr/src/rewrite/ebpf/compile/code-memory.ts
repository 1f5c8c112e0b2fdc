/**
 * Remembers compiled programs in a long-running process. The code of a host with many addresses contains few of them:
 * if one is added or removed, only the contents of maps change, and nothing has to be compiled. Pure.
 */
import type { EncodedProgram } from "@l3dsr/bpf";
import { type Prefix, prefixContains } from "@l3dsr/packet";
import { sameValue } from "../../../model/rule.ts";
import type { InterfaceRules, SlottedRule } from "./interface-rules.ts";
import { comparedPrefixes, isLookup } from "./local-addresses.ts";
import type { CompileTarget } from "./target.ts";

/** What a program is compiled from. */
export interface ProgramSource {
	readonly rules: InterfaceRules;
	readonly target: CompileTarget;
	/** Number of slots in the counter maps. */
	readonly slots: number;
}

/** The part of a source that determines the code. */
interface CodeSource {
	readonly rules: readonly SlottedRule[];
	readonly target: CompileTarget;
	readonly slots: number;
	readonly local: LocalInCode;
}

/** The part of the host's addresses that the code contains. */
interface LocalInCode {
	readonly families: readonly {
		readonly isLookup: boolean;
		readonly compared: readonly Prefix[];
	}[];
	/** For each rule, whether its VIP is one of these addresses. */
	readonly targets: readonly boolean[];
}

/** The most programs kept; each takes up to 230 kB. */
const MOST_PROGRAMS = 16;

export class CodeMemory {
	/** By interface, in order of use, the latest last. */
	readonly #known = new Map<string, { readonly source: CodeSource; readonly program: EncodedProgram }>();

	/**
	 * The program kept for this interface, if its code would be the same. Its maps have the contents that they had
	 * then.
	 */
	get(on: string, source: ProgramSource): EncodedProgram | undefined {
		const known = this.#known.get(on);
		if (known === undefined || !sameValue(known.source, codeSourceOf(source))) return undefined;
		this.#known.delete(on);
		this.#known.set(on, known);
		return known.program;
	}

	/** Keeps the code without the instructions that it was encoded from. */
	keep(on: string, source: ProgramSource, { instructions: _, ...program }: EncodedProgram): void {
		this.#known.delete(on);
		this.#known.set(on, { source: codeSourceOf(source), program });
		for (const oldest of this.#known.keys()) {
			if (this.#known.size <= MOST_PROGRAMS) break;
			this.#known.delete(oldest);
		}
	}

	forget(on: string): void {
		this.#known.delete(on);
	}
}

function codeSourceOf({ rules: { rules, local }, target, slots }: ProgramSource): CodeSource {
	const families = (["ipv4", "ipv6"] as const)
		.filter((family) => rules.some(({ rule }) => rule.family === family))
		.map((family) => {
			const ofFamily = { family, local: local.filter(({ address }) => address.family === family) };
			return { isLookup: isLookup(ofFamily), compared: comparedPrefixes(ofFamily) };
		});
	const targets = rules.map(({ rule }) => local.some((prefix) => prefixContains(prefix, rule.target.daddr)));
	return { rules, target, slots, local: { families, targets } };
}
