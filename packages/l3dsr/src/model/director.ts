/** How a host directs, as opposed to what it directs (the fleet): the values of `director:` in l3dsr.yaml. */
import type { Address } from "@l3dsr/packet";
import type { Fleet, RealHealth } from "./fleet.ts";
import type { HeldReal } from "./held-real.ts";
import type { OpenChecksums } from "./open-checksums.ts";

export const DIRECTOR_HOOKS = ["xdp", "xdp-generic", "tc"] as const;
export type DirectorHook = (typeof DIRECTOR_HOOKS)[number];

export const FORWARD_MODES = ["resolved", "kernel"] as const;
/** What sends a rewritten frame: the program, to the next hop resolved for it, or the kernel's routing. */
export type ForwardMode = (typeof FORWARD_MODES)[number];

export const FLOW_MODES = ["transition", "always", "none"] as const;
/** When flows are remembered: in slots that change, always, or never. */
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
	/** How to treat XDP on interfaces whose packets may lack their checksum (veth, tun, virtio). */
	readonly openChecksums: OpenChecksums;
}

/** Where the operator's `drain` and `disable` are stored, in one file for each configuration. */
export const STATE_FOLDER = "/var/lib/l3dsr";

export interface DirectorConfiguration {
	readonly settings: DirectorSettings;
	/** Path of the file with the operator's overrides. */
	readonly state: string;
}

/** What a director should do: the fleet with the states that apply on this host. */
export interface DesiredDirector {
	readonly settings: DirectorSettings;
	readonly fleet: Fleet;
	/** The operator's overrides on this host; `fleet` already includes them. */
	readonly held: readonly HeldReal[];
	/** Where this host's own rules see packets if they run on eBPF. */
	readonly rulesAt: string;
}

/** The health of a pool's real server for one service; `port` 0 is any. */
export type HealthOf = (
	service: { readonly address: Address; readonly protocol: number; readonly port: number },
	pool: string,
	real: string,
) => RealHealth;
