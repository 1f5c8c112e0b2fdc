/** Completion of one command for fish. */
import type { CompletedCommand, CompletedOption, Value } from "./commands.ts";

export function fishCompletion(command: CompletedCommand): string {
	const { name, subcommands } = command;
	const lines = [
		`# fish completion for ${name}: written by scripts/completion.ts from the tables that its parser reads`,
		`complete -c ${name} -f`,
	];
	const begin = subcommands.length === 0 ? "" : " -n __fish_use_subcommand";
	for (const subcommand of subcommands) {
		lines.push(`complete -c ${name}${begin} -a ${subcommand.name} -d ${quote(subcommand.summary)}`);
	}
	lines.push(...places(name, begin, command));
	for (const subcommand of subcommands) {
		lines.push(...places(name, ` -n '__fish_seen_subcommand_from ${subcommand.name}'`, subcommand));
	}
	return `${lines.join("\n")}\n`;
}

function places(name: string, condition: string, { options, operand }: CompletedCommand): readonly string[] {
	const lines = options.map((option) => `complete -c ${name}${condition}${optionArguments(option)}`);
	if (operand !== undefined && operand.value.kind !== "free") {
		lines.push(`complete -c ${name}${condition}${offer(operand.value)}`);
	}
	return lines;
}

function optionArguments({ names, help, argument }: CompletedOption): string {
	const spelled = names.map((name) =>
		name.startsWith("--") ? ` -l ${name.slice(2)}` : ` -s ${name.slice(1)}`,
	);
	// Do not ask for an optional argument. With -r alone, fish offers files too.
	const value =
		argument === undefined || argument.optional
			? ""
			: ` ${argument.value.kind === "file" ? "-r" : "-x"}${offer(argument.value)}`;
	return `${spelled.join("")}${value} -d ${quote(help)}`;
}

function offer(value: Value): string {
	switch (value.kind) {
		case "words":
			return ` -a ${quote(value.words.join(" "))}`;
		case "file":
			return " -F";
		case "directory":
			return " -a '(__fish_complete_directories)'";
		case "interface":
			return " -a '(__fish_print_interfaces)'";
		case "netns":
			return " -a '(command ls /run/netns 2>/dev/null)'";
		case "lab":
			return ` -a ${quote("(command ls /run/netns 2>/dev/null | string replace -rf -- '-director$' '')")}`;
		case "real":
			return " -a '(command l3dsr real-names 2>/dev/null)'";
		case "free":
			return "";
	}
}

function quote(text: string): string {
	return `'${text.replace(/[\\']/g, "\\$&")}'`;
}
