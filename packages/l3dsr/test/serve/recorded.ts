/** An agent without a loop: it shows the samples of packages/records and what a test adds. */
import { readFileSync } from "node:fs";
import { FROM_SOURCE } from "../../../../test/support/node.ts";
import { diagnosticsOf } from "../../src/cli/error-table.ts";
import { L3dsrError } from "../../src/errors.ts";
import type { PacketQuestion } from "../../src/inspect/trace/trace-question.ts";
import { type AgentSettings, defaultAgentSettings } from "../../src/model/agent-settings.ts";
import { Front, type FrontOptions } from "../../src/serve/front.ts";
import type { Shown, ShownEvent } from "../../src/serve/shown.ts";
import { readListen } from "../../src/syntax/config/agent-settings.ts";

const samples = new URL("../../../records/samples/", import.meta.url);

/** JSON on one line. */
export function sample(name: string): string {
	return JSON.stringify(JSON.parse(readFileSync(new URL(`${name}.json`, samples), "utf8")));
}

/** The command line of `l3dsr`, from source. */
export const COMMAND: readonly [string, ...string[]] = [
	process.execPath,
	...FROM_SOURCE,
	new URL("../cli/l3dsr-process.ts", import.meta.url).pathname,
	"serve-http",
];

export class RecordedAgent implements Shown {
	/** The number of requests for each. */
	readonly asked = { status: 0, findings: 0, fleet: 0, events: 0, trace: 0 };
	readonly questions: PacketQuestion[] = [];
	readonly problems: string[] = [];
	texts: Record<"status" | "findings" | "fleet" | "trace", string> = {
		status: sample("status-real-server"),
		findings: sample("findings"),
		fleet: sample("fleet"),
		trace: sample("trace"),
	};
	#events: ShownEvent[] = JSON.parse(sample("events")).events.map((event: { id: number }) => ({
		id: event.id,
		body: JSON.stringify(event),
	}));
	readonly #listeners = new Set<(event: ShownEvent) => void>();

	readonly status = () => this.#answer("status");
	readonly findings = () => this.#answer("findings");
	readonly fleet = () => this.#answer("fleet");
	readonly events = async (): Promise<string> => {
		this.asked.events++;
		return `{"schema":"l3dsr.events/1","events":[${this.#events.map(({ body }) => body).join(",")}]}`;
	};
	readonly trace = async (question: PacketQuestion): Promise<string> => {
		this.questions.push(question);
		if (question.interface === "nowhere") {
			throw new L3dsrError({ code: "USAGE", message: "trace a packet: there is no interface nowhere" });
		}
		return await this.#answer("trace");
	};
	readonly keptEvents = () => this.#events;

	readonly subscribe = (listener: (event: ShownEvent) => void): Disposable => {
		this.#listeners.add(listener);
		return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
	};

	/** Adds an event. */
	happen(message: string): void {
		const id = (this.#events.at(-1)?.id ?? 0) + 1;
		const event = { id, time: new Date().toISOString(), kind: "repaired", severity: "notice", message };
		this.#events.push({ id, body: JSON.stringify(event) });
		if (this.#events.length > 1000) this.#events.shift();
		for (const listener of this.#listeners) listener({ id, body: JSON.stringify(event) });
	}

	/** Serves at these addresses. */
	serve(
		listen: readonly string[],
		more: Partial<AgentSettings & Pick<FrontOptions, "page" | "command" | "pingMs">> = {},
	): Front {
		const { page = "/nowhere", command = COMMAND, pingMs, ...settings } = more;
		return new Front({
			settings: { ...defaultAgentSettings(), listen: listen.map(place), ...settings },
			shown: this,
			diagnosticsOf,
			version: "0.1.0",
			command,
			page,
			...(pingMs === undefined ? {} : { pingMs }),
			onProblem: (problem) => void this.problems.push(problem),
		});
	}

	async #answer(kind: keyof RecordedAgent["texts"]): Promise<string> {
		this.asked[kind]++;
		return this.texts[kind];
	}
}

function place(text: string): AgentSettings["listen"][number] {
	const read = readListen(text);
	if (!read.ok) throw new TypeError(read.message);
	return read.value;
}
