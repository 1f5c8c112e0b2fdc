/** Completion of one command for zsh, with zsh's own _arguments. */
import type { CompletedCommand, CompletedOption, Value } from "./commands.ts";

export function zshCompletion(command: CompletedCommand): string {
	const lines = [
		`#compdef ${command.name}`,
		"# Written by scripts/completion.ts from the tables that the command's parser reads.",
	];
	if (command.subcommands.length === 0) {
		lines.push(`_arguments -s -S \\\n${specs(command).join(" \\\n")}`);
	} else {
		lines.push(
			"local state line",
			"local -a commands",
			"commands=(",
			...command.subcommands.map(({ name, summary }) => `\t${quote(`${name}:${summary}`)}`),
			")",
			`_arguments -C -s \\\n${[...specs(command), "\t'1: :->command'", "\t'*:: :->argument'"].join(" \\\n")}`,
			"case $state in",
			"command) _describe command commands ;;",
			"argument)",
			"\tcase $words[1] in",
			...command.subcommands.map((subcommand) => {
				return `\t${subcommand.name}) _arguments -s -S \\\n${specs(subcommand).join(" \\\n")} ;;`;
			}),
			"\tesac",
			"\t;;",
			"esac",
		);
	}
	return `${lines.join("\n")}\n`;
}

function specs({ options, operand }: CompletedCommand): readonly string[] {
	const found = options.map(optionSpec);
	if (operand !== undefined) found.push(quote(`*:${plain(operand.name)}:${action(operand.value)}`));
	return found.map((spec) => `\t${spec}`);
}

function optionSpec({ names, help, argument }: CompletedOption): string {
	const rest =
		argument === undefined
			? ""
			: `${argument.optional ? "::" : ":"}${plain(argument.name)}:${action(argument.value)}`;
	return names.map((name) => quote(`*${name}[${plain(help)}]${rest}`)).join(" ");
}

/** Brackets and colons have a meaning in a spec. */
function plain(text: string): string {
	return text.replace(/[\\[\]:]/g, "\\$&");
}

function quote(text: string): string {
	return `'${text.replaceAll("'", "'\\''")}'`;
}

function action(value: Value): string {
	switch (value.kind) {
		case "words":
			return `(${value.words.join(" ")})`;
		case "file":
			return "_files";
		case "directory":
			return "_files -/";
		case "interface":
			return "_net_interfaces";
		case "netns":
			return "_files -W /run/netns";
		case "lab":
			return '{compadd -- $(ls /run/netns 2>/dev/null | sed -n "s/-director$//p")}';
		case "real":
			return "{compadd -- $(l3dsr real-names 2>/dev/null)}";
		case "free":
			return " ";
	}
}
