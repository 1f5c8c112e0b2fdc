/** What an agent that runs on this host means for what a command shows or did. Pure. */
import { resolve } from "node:path";
import type { Keeping } from "../../host/hold.ts";

/**
 * For `status` and `top`, which show `configuration`; undefined if no agent runs and none is told to leave the host
 * alone.
 */
export function keepingText({ agent, hold }: Keeping, configuration: string | null): string | undefined {
	if (hold !== null) {
		const since = `until l3dsr up (${hold.by}, ${hold.since})`;
		return agent === null
			? `agent: none runs, and one that starts leaves this host alone ${since}`
			: `agent: process ${agent.process} leaves this host alone ${since}`;
	}
	if (agent === null) return undefined;
	const other =
		configuration !== null && !isSame(configuration, agent.configuration)
			? `, and not as ${configuration} says`
			: "";
	return `agent: process ${agent.process} keeps this host as ${agent.configuration} says${other}`;
}

/** True if a running agent repairs drift from `configuration`. */
export function isKept({ agent, hold }: Keeping, configuration: string | null): boolean {
	return (
		agent !== null && hold === null && configuration !== null && isSame(configuration, agent.configuration)
	);
}

function isSame(configuration: string, agentsConfiguration: string): boolean {
	return resolve(configuration) === agentsConfiguration;
}

/** Follows what `up` did, or would do. */
export function keepingSoText({ agent }: Keeping, configuration: string): string | undefined {
	if (agent === null) return undefined;
	const who = `the agent (process ${agent.process}) keeps this host`;
	return isSame(configuration, agent.configuration)
		? `${who} so`
		: `${who} as ${agent.configuration} says: l3dsr up with ${configuration} is refused while it runs`;
}

/** Follows what `down` did. */
export function leavingAloneText({ agent, hold }: Keeping): string | undefined {
	if (hold === null) return undefined;
	return agent === null
		? "an agent that starts leaves this host alone until l3dsr up"
		: `the agent (process ${agent.process}) leaves this host alone until l3dsr up, also after a restart of the agent, but not after a reboot`;
}
