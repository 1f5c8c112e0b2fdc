/** Copies a table: the commands that create it again, in this namespace or another one. */
import type { Command } from "./command.ts";
import type { SetElement } from "./element.ts";
import { NftablesError } from "./error.ts";
import type { Expression } from "./expression.ts";
import { expressionKey } from "./expression-key.ts";
import type { TableContents } from "./ruleset.ts";
import type { NamedSet } from "./set.ts";

/**
 * The commands that create an equal table with counters at zero. Throws NftablesError if a copy would lose
 * something. Elements keep the time that they have left.
 */
export function copyTable(contents: TableContents): readonly Command[] {
	const { family, name, flags, comment, chains, sets, rules, objects, flowtables } = contents;
	const table = { family, name };
	const other = objects.find(({ type }) => type !== "counter")?.name ?? flowtables[0];
	const partlyKnown = sets.find((set) => set.more ?? set.elements.some(({ more }) => more === true))?.name;
	const obstacle = other ?? partlyKnown;
	if (obstacle !== undefined) {
		throw new NftablesError(
			"UNSUPPORTED",
			`copy table ${family} ${name}: ${obstacle} is of a kind that cannot be copied`,
		);
	}
	return [
		{
			do: "add table",
			table: {
				...table,
				flags: flags.filter((one) => one === "dormant"),
				...(comment === undefined ? {} : { comment }),
			},
		},
		...objects.map(
			(object): Command => ({ do: "add object", table, object: { ...object, type: "counter" } }),
		),
		...chains.map((chain): Command => ({ do: "add chain", table, chain })),
		...sets.flatMap((set): Command[] => [
			{ do: "add set", table, set },
			...(set.elements.length === 0
				? []
				: [{ do: "add elements" as const, table, set, elements: set.elements.map(uncounted) }]),
		]),
		...rules.map(
			(rule): Command => ({
				do: "add rule",
				table,
				chain: rule.chain,
				rule: { ...rule, expressions: rule.expressions.map(uncountedExpression) },
			}),
		),
	];
}

/** Whether two tables are equal in every expression, except for counters, handles and the time that elements have left. */
export function sameTable(a: TableContents, b: TableContents): boolean {
	return tableKey(a) === tableKey(b);
}

function tableKey({ family, name, flags, chains, sets, rules, objects, flowtables }: TableContents): string {
	const plain = (_: string, value: unknown): unknown =>
		typeof value === "bigint"
			? String(value)
			: value instanceof Uint8Array
				? Buffer.from(value).toString("hex")
				: value;
	const definition = ({ userData: _, ...rest }: NamedSet): Omit<NamedSet, "userData"> => rest;
	const lasting = ({ expires: _, ...rest }: SetElement): Omit<SetElement, "expires"> => uncounted(rest);
	const withoutHandle = <T extends { handle: bigint }>({ handle: _, ...rest }: T): Omit<T, "handle"> => rest;
	const byName = (x: { name: string }, y: { name: string }): number => (x.name < y.name ? -1 : 1);
	return JSON.stringify(
		[
			family,
			name,
			flags,
			chains.map(withoutHandle).sort(byName),
			sets
				.map((set) => ({ ...withoutHandle(definition(set)), elements: set.elements.map(lasting) }))
				.sort(byName),
			rules.map(({ chain, comment = "", expressions }) => [
				chain,
				comment,
				...expressions.map(expressionKey),
			]),
			objects.map((object) => [object.type, object.name]).sort(),
			[...flowtables].sort(),
		],
		plain,
	);
}

function uncounted(element: SetElement): SetElement {
	return element.counter === undefined ? element : { ...element, counter: { packets: 0n, bytes: 0n } };
}

function uncountedExpression(expression: Expression): Expression {
	return expression.kind === "counter" ? { kind: "counter", packets: 0n, bytes: 0n } : expression;
}
