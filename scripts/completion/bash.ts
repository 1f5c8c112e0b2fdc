/** Completion of one command for bash. Needs nothing but bash. */
import type { CompletedCommand, Value } from "./commands.ts";

export function bashCompletion(command: CompletedCommand): string {
	const name = `_${command.name.replace(/\W/g, "_")}`;
	const body =
		command.subcommands.length === 0
			? place(command, "\t")
			: [
					"\tlocal word subcommand=",
					`\tfor word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		[[ $word == -* ]] || { subcommand=$word; break; }`,
					"\tdone",
					"\tcase $subcommand in",
					...command.subcommands.flatMap((subcommand) => [
						`\t${subcommand.name})`,
						...place(subcommand, "\t\t"),
						"\t\t;;",
					]),
					"\t*)",
					...place(
						{
							...command,
							operand: {
								name: "command",
								value: { kind: "words", words: command.subcommands.map((subcommand) => subcommand.name) },
							},
						},
						"\t\t",
					),
					"\t\t;;",
					"\tesac",
				];
	return [
		`# bash completion for ${command.name}: written by scripts/completion.ts from the tables that its parser reads`,
		`${name}() {\n\tlocal current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}`,
		...body,
		"}",
		`complete -F ${name} ${command.name}`,
		"",
	].join("\n");
}

/** Sets COMPREPLY to the words that can follow `previous`. */
function place(command: CompletedCommand, indent: string): readonly string[] {
	const names = command.options.flatMap((option) => option.names).join(" ");
	const cases = command.options.flatMap((option) =>
		option.argument === undefined
			? []
			: [`${indent}${option.names.join(" | ")}) ${reply(option.argument.value)} ;;`],
	);
	const otherwise = [
		`if [[ $current == -* ]]; then ${reply({ kind: "words", words: [names] })}`,
		`else ${command.operand === undefined ? ":" : reply(command.operand.value)}; fi`,
	].join("; ");
	if (cases.length === 0) return [`${indent}${otherwise}`];
	return [`${indent}case $previous in`, ...cases, `${indent}*) ${otherwise} ;;`, `${indent}esac`];
}

function reply(value: Value): string {
	switch (value.kind) {
		case "words":
			return compgen(`-W '${value.words.join(" ")}'`);
		case "file":
			return `compopt -o filenames 2>/dev/null; ${compgen("-f")}`;
		case "directory":
			return `compopt -o filenames 2>/dev/null; ${compgen("-d")}`;
		case "interface":
			return compgen('-W "$(ls /sys/class/net 2>/dev/null)"');
		case "netns":
			return compgen('-W "$(ls /run/netns 2>/dev/null)"');
		case "lab":
			return compgen(`-W "$(ls /run/netns 2>/dev/null | sed -n 's/-director$//p')"`);
		case "real":
			return compgen('-W "$(l3dsr real-names 2>/dev/null)"');
		case "free":
			return ":";
	}
}

function compgen(what: string): string {
	return `mapfile -t COMPREPLY < <(compgen ${what} -- "$current")`;
}
