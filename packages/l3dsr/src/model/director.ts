/** How a host directs, beside what it directs (the fleet): the values of `director:` in l3dsr.yaml. */
import type { Address } from "@l3dsr/packet";
import type { Fleet, RealHealth } from "./fleet.ts";
import type { HeldReal } from "./held-real.ts";
import type { OpenChecksums } from "./open-checksums.ts";

export const DIRECTOR_HOOKS = ["xdp", "xdp-generic", "tc"] as const;
export type DirectorHook = (typeof DIRECTOR_HOOKS)[number];

export const FORWARD_MODES = ["resolved", "kernel"] as const;
/** Who sends a rewritten frame: the program, to the next hop that was resolved for it, or the kernel's routing. */
export type ForwardMode = (typeof FORWARD_MODES)[number];

export const FLOW_MODES = ["transition", "always", "none"] as const;
/** When flows are remembered: in slots that change, everywhere, or nowhere. */
export type FlowMode = (typeof FLOW_MODES)[number];

export interface DirectorSettings {
	/** Where packets for the VIPs arrive. */
	readonly interfaces: readonly string[];
	readonly hook: DirectorHook;
	readonly forward: ForwardMode;
	readonly flows: FlowMode;
	/** 1–4094: packets for the VIPs carry this tag. */
	readonly vlan?: number;
	readonly bleach: boolean;
	/** XDP on interfaces whose packets may come without their checksum (veth, tun, virtio). */
	readonly openChecksums: OpenChecksums;
}

/** Where the operator's `drain` and `disable` are kept, in a file for each configuration. */
export const STATE_FOLDER = "/var/lib/l3dsr";

export interface DirectorConfiguration {
	readonly settings: DirectorSettings;
	/** Path of the file with what the operator has set. */
	readonly state: string;
}

/** What a director should do: the fleet with the states that hold on this host. */
export interface DesiredDirector {
	readonly settings: DirectorSettings;
	readonly fleet: Fleet;
	/** What the operator has set on this host; `fleet` has it already. */
	readonly held: readonly HeldReal[];
	/** Where this host's own rules see packets when they are on eBPF. */
	readonly rulesAt: string;
}

/** The health of a real of a pool as far as one service is concerned; `port` 0 is any. */
export type HealthOf = (
	service: { readonly address: Address; readonly protocol: number; readonly port: number },
	pool: string,
	real: string,
) => RealHealth;
