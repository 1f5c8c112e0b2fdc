/** The one place that says which engine a host's rules run on. */
import { type Environment, systemPrograms } from "../host/process.ts";
import type { Datapath } from "./datapath.ts";
import { NftDatapath } from "./nft/nft.ts";

export interface HostDatapathOptions {
	/** The process's environment: PATH is where nft is looked for first. */
	readonly env: Environment;
}

/** The datapath of this network namespace. Touches nothing until it is asked to observe. */
export function openDatapath(options: HostDatapathOptions): Datapath {
	return new NftDatapath(systemPrograms(options.env));
}
