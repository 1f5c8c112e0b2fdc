/** Serves HTTP as the configuration in force says, and follows its changes. */
import type { AgentState } from "../agent/state.ts";
import { defaultAgentSettings } from "../model/agent-settings.ts";
import { AgentShown } from "./agent-shown.ts";
import { Front, type FrontOptions } from "./front.ts";

/** Serves until disposed of, from the first configuration in force. */
export function serveAgent(state: AgentState, options: Omit<FrontOptions, "settings" | "shown">): Disposable {
	const shown = new AgentShown(state, options.version);
	let front: { readonly of: string; readonly served: Front } | undefined;
	const follow = (): void => {
		const wish = state.wish();
		if (wish === undefined) return;
		const settings = wish.configuration.agent ?? defaultAgentSettings();
		const of = JSON.stringify(settings);
		if (front?.of === of) {
			front.served.refresh();
			return;
		}
		front?.served[Symbol.dispose]();
		front = { of, served: new Front({ ...options, settings, shown }) };
	};
	const subscription = state.onRun(follow);
	return {
		[Symbol.dispose]: () => {
			subscription[Symbol.dispose]();
			front?.served[Symbol.dispose]();
		},
	};
}
