/**
 * Prints every change of nf_tables and the program that made it, until it is interrupted. Run it as root:
 *
 *     node watch-changes.ts
 */
import { printRule, type RulesetEvent, RulesetMonitor } from "@l3dsr/nftables";

function describe(event: RulesetEvent): string | undefined {
	switch (event.kind) {
		case "table":
			return `${event.change} table ${event.table.family} ${event.table.name}`;
		case "chain":
			return `${event.change} chain ${event.table.family} ${event.table.name} ${event.chain.name}`;
		case "rule": {
			const { table, rule } = event;
			return `${event.change} rule ${table.family} ${table.name} ${rule.chain} ${printRule(rule, table.family)}`;
		}
		case "generation":
			return `by ${event.program ?? "somebody"}`;
		case "lost":
			return "and more, too quickly to be told";
		default:
			return undefined;
	}
}

const LOOK_MS = 50;

let going = true;
process.once("SIGINT", () => {
	going = false;
});

using monitor = new RulesetMonitor();
console.log("watching");
while (going) {
	for (const event of monitor.read()) {
		const text = describe(event);
		if (text !== undefined) console.log(text);
	}
	await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
}
