/** Writes completion for bash, zsh and fish below a directory like /usr/share: completion.ts DIRECTORY */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { bashCompletion } from "./completion/bash.ts";
import { completedCommands } from "./completion/commands.ts";
import { fishCompletion } from "./completion/fish.ts";
import { zshCompletion } from "./completion/zsh.ts";

async function main(directory: string): Promise<void> {
	for (const command of await completedCommands()) {
		write(join(directory, "bash-completion/completions", command.name), bashCompletion(command));
		write(join(directory, "zsh/site-functions", `_${command.name}`), zshCompletion(command));
		write(join(directory, "fish/vendor_completions.d", `${command.name}.fish`), fishCompletion(command));
	}
}

function write(path: string, text: string): void {
	mkdirSync(dirname(path), { recursive: true });
	writeFileSync(path, text);
}

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new Error("usage: completion.ts DIRECTORY");
void main(directory);
