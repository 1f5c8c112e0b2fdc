/** The terminal of a full-screen command: its keys, its size, and its restoration afterwards. */
import { printable } from "../printable.ts";

export interface ScreenHandlers {
	/** Key presses, as the terminal sent them. */
	readonly input: (text: string) => void;
	/** Its size changed, or it was suspended and must be redrawn. */
	readonly changed: () => void;
}

export interface Terminal {
	size(): { readonly columns: number; readonly rows: number };
	/** Takes over the whole screen; dispose restores it. */
	open(handlers: ScreenHandlers): OpenScreen;
}

export interface OpenScreen extends Disposable {
	/** The lines of the screen from the top: text, with the emphasis of style.ts. Unchanged lines are not redrawn. */
	draw(lines: readonly string[]): void;
	/** Like Ctrl-Z elsewhere: the shell has the terminal until `fg`. */
	suspend(): void;
}

const ESC = "\u001b[";
/** Alternate screen, no cursor, and long lines are cut off instead of folded (xterm's private modes 1049, 25, 7). */
const ENTER = `${ESC}?1049h${ESC}?25l${ESC}?7l`;
const LEAVE = `${ESC}?7h${ESC}?25h${ESC}?1049l`;

/** Undefined if standard output is not a terminal. Without a keyboard, it never reports keys. */
export function terminalOf(process: NodeJS.Process): Terminal | undefined {
	const { stdout } = process;
	if (!stdout.isTTY) return undefined;
	return {
		size: () => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 }),
		open: (handlers) => new ProcessScreen(process, handlers),
	};
}

class ProcessScreen implements OpenScreen {
	readonly #process: NodeJS.Process;
	readonly #handlers: ScreenHandlers;
	#drawn: readonly string[] = [];

	constructor(process: NodeJS.Process, handlers: ScreenHandlers) {
		this.#process = process;
		this.#handlers = handlers;
		process.stdout.on("resize", this.#redraw);
		process.on("SIGCONT", this.#resume);
		// Restore the terminal, however this process ends.
		process.on("exit", this.#leave);
		if (process.stdin.isTTY) process.stdin.setEncoding("utf8").on("data", this.#input).resume();
		this.#enter();
	}

	readonly #input = (text: string | Buffer): void => this.#handlers.input(String(text));

	readonly #redraw = (): void => {
		this.#drawn = [];
		this.#write(`${ESC}2J`);
		this.#handlers.changed();
	};

	readonly #enter = (): void => {
		if (this.#process.stdin.isTTY) this.#process.stdin.setRawMode(true);
		this.#drawn = [];
		this.#write(`${ENTER}${ESC}2J`);
	};

	readonly #leave = (): void => {
		if (this.#process.stdin.isTTY) this.#process.stdin.setRawMode(false);
		this.#write(LEAVE);
	};

	readonly #resume = (): void => {
		this.#enter();
		// Only the shell heard of a new size meanwhile; Node reads it only on this signal.
		this.#process.emit("SIGWINCH", "SIGWINCH");
		this.#handlers.changed();
	};

	draw(lines: readonly string[]): void {
		const changed = lines.flatMap((line, index) =>
			line === this.#drawn[index] ? [] : [`${ESC}${index + 1};1H${onOneLine(line)}${ESC}K`],
		);
		this.#drawn = lines;
		if (changed.length > 0) this.#write(changed.join(""));
	}

	suspend(): void {
		this.#leave();
		this.#process.kill(this.#process.pid, "SIGTSTP");
		// After fg; or at once, if no shell could take the terminal.
		setImmediate(this.#resume);
	}

	#write(text: string): void {
		this.#process.stdout.write(text);
	}

	[Symbol.dispose](): void {
		const { stdin, stdout } = this.#process;
		stdout.off("resize", this.#redraw);
		this.#process.off("SIGCONT", this.#resume);
		this.#process.off("exit", this.#leave);
		this.#leave();
		if (stdin.isTTY) stdin.off("data", this.#input).pause();
	}
}

/** Text that moves the cursor only as far as its own characters. */
function onOneLine(text: string): string {
	return printable(text, "terminal").replace(/[\n\t]/g, " ");
}
