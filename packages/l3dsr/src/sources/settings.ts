/**
 * The settings of the datapaths: from the file, else from the environment, else the default. Only this module reads
 * them from the environment.
 */
import { L3dsrError } from "../errors.ts";
import {
	DATAPATH_CHOICES,
	type DatapathSettings,
	HOOK_CHOICES,
	type HookChoice,
} from "../model/configuration.ts";
import { OPEN_CHECKSUM_CHOICES } from "../model/open-checksums.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * `given`: the keys in the file, whatever their values. `hook`: its default, which is `tc` for a configuration, and
 * `auto` for a command without one, which leaves programs where they are. Throws L3dsrError (USAGE) if a variable
 * that is needed has an invalid value.
 */
export function resolveSettings(
	given: Partial<DatapathSettings>,
	env: Environment,
	{ hook = "auto" }: { readonly hook?: HookChoice } = {},
): DatapathSettings {
	return {
		datapath: given.datapath ?? fromEnvironment("L3DSR_DATAPATH", env, DATAPATH_CHOICES) ?? "auto",
		hook: given.hook ?? fromEnvironment("L3DSR_HOOK", env, HOOK_CHOICES) ?? hook,
		openChecksums:
			given.openChecksums ?? fromEnvironment("L3DSR_OPEN_CHECKSUMS", env, OPEN_CHECKSUM_CHOICES) ?? "refuse",
	};
}

/** Undefined if the variable is not set or empty. */
function fromEnvironment<T extends string>(
	variable: string,
	env: Environment,
	choices: readonly T[],
): T | undefined {
	const value = env[variable];
	if (value === undefined || value === "") return undefined;
	const found = choices.find((one) => one === value);
	if (found !== undefined) return found;
	throw new L3dsrError({
		code: "USAGE",
		message: `read the environment: ${variable} is ${JSON.stringify(value)}, expected one of ${choices.join(", ")}`,
	});
}
