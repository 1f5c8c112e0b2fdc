/** Changes as values. A list of commands is one transaction. */

import type { SetElement } from "./element.ts";
import { harmless } from "./printable.ts";
import type { ChainSpec, RuleSpec, TableId, TableSpec } from "./ruleset.ts";
import type { SetSpec } from "./set.ts";
import type { OBJECT_TYPES } from "./uapi.ts";

export type Command =
	/** Creates the table, or changes the flags of an existing one. */
	| { readonly do: "add table"; readonly table: TableSpec }
	/** Deletes the table with everything in it. */
	| { readonly do: "delete table"; readonly table: TableId }
	/** Creates the chain, or changes the policy of an existing one. */
	| { readonly do: "add chain"; readonly table: TableId; readonly chain: ChainSpec }
	| { readonly do: "delete chain"; readonly table: TableId; readonly chain: string }
	/** Deletes the chain's rules. */
	| { readonly do: "flush chain"; readonly table: TableId; readonly chain: string }
	/** Adds the rule at the end of the chain, or directly before or after the rule with a handle. */
	| {
			readonly do: "add rule";
			readonly table: TableId;
			readonly chain: string;
			readonly rule: RuleSpec;
			readonly before?: bigint;
			readonly after?: bigint;
	  }
	| { readonly do: "delete rule"; readonly table: TableId; readonly chain: string; readonly handle: bigint }
	| { readonly do: "add set"; readonly table: TableId; readonly set: SetSpec }
	| { readonly do: "delete set"; readonly table: TableId; readonly set: string }
	| {
			readonly do: "add elements" | "delete elements";
			readonly table: TableId;
			/** A set of the table, or one that the same transaction creates. */
			readonly set: Pick<SetSpec, "name" | "key" | "data" | "flags">;
			readonly elements: readonly SetElement[];
	  }
	| {
			readonly do: "add object";
			readonly table: TableId;
			readonly object: { readonly type: "counter"; readonly name: string; readonly comment?: string };
	  }
	| {
			readonly do: "delete object";
			readonly table: TableId;
			readonly object: { readonly type: keyof typeof OBJECT_TYPES; readonly name: string };
	  };

/** The names of the command's table and of its object. */
export function namesOf(command: Command): readonly string[] {
	const { name } = command.table;
	switch (command.do) {
		case "add table":
		case "delete table":
			return [name];
		case "add chain":
			return [name, command.chain.name];
		case "delete chain":
		case "flush chain":
		case "add rule":
		case "delete rule":
			return [name, command.chain];
		case "add set":
		case "add elements":
		case "delete elements":
			return [name, command.set.name];
		case "delete set":
			return [name, command.set];
		case "add object":
		case "delete object":
			return [name, command.object.name];
		default:
			throw new RangeError(`${String((command as { readonly do: unknown }).do)} is not a command`);
	}
}

/** Describes the command's object for messages: `rule in chain ip filter input`. */
export function describeCommand(command: Command): string {
	return harmless(described(command));
}

function described(command: Command): string {
	const { table } = command;
	const place =
		command.do === "add table" || command.do === "delete table" ? "" : `${table.family} ${table.name} `;
	switch (command.do) {
		case "add table":
		case "delete table":
			return `${command.do} ${table.family} ${table.name}`;
		case "add chain":
			return `add chain ${place}${command.chain.name}`;
		case "delete chain":
		case "flush chain":
			return `${command.do} ${place}${command.chain}`;
		case "add rule": {
			const { comment } = command.rule;
			return `add a rule to chain ${place}${command.chain}${comment === undefined ? "" : ` ("${comment}")`}`;
		}
		case "delete rule":
			return `delete rule ${command.handle} of chain ${place}${command.chain}`;
		case "add set":
		case "delete set": {
			const set = typeof command.set === "string" ? command.set : command.set.name;
			return `${command.do} ${place}${set}`;
		}
		case "add elements":
		case "delete elements": {
			const comments = command.elements.flatMap(({ comment }) =>
				comment === undefined ? [] : [`"${comment}"`],
			);
			const which = comments.length === 1 ? ` (${comments[0]})` : "";
			return `${command.do === "add elements" ? "add elements to" : "delete elements of"} set ${place}${command.set.name}${which}`;
		}
		case "add object":
		case "delete object":
			return `${command.do === "add object" ? "add" : "delete"} ${command.object.type} ${place}${command.object.name}`;
		default:
			return String((command as { readonly do: unknown }).do); // a caller without types
	}
}
