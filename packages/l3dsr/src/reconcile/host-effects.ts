/**
 * Everything that reconciling reads from a host and changes on it. One interface, so that every command and
 * the agent do it the same way, and a test can replace a part.
 */

import type { GenerationStep } from "@l3dsr/nftables";
import type { Director } from "../balance/kernel/director.ts";
import type { AddressChange, AddressedInterface } from "../host/addresses.ts";
import type { ObservedGuard } from "../host/vip-guard.ts";
import type { DatapathSettings } from "../model/configuration.ts";
import type { VipGuard } from "../model/vip-guard.ts";
import type { LoopbackAddress } from "../plan/loopback.ts";
import type { ProgramMemory } from "../rewrite/ebpf/kernel/program-memory.ts";
import type { HostDatapath } from "../rewrite/host-datapath.ts";

export interface HostEffects {
	/** `memory`: of a long-running process. */
	openDatapath(settings: DatapathSettings, memory?: ProgramMemory): Promise<HostDatapath>;
	/** Every interface with its addresses, `lo` too. */
	interfaces(): Promise<readonly AddressedInterface[]>;
	/** Addresses of `lo` alone. */
	loopbackAddresses(): Promise<readonly LoopbackAddress[]>;
	/** False if `lo` cannot have IPv6 addresses. */
	hasIpv6(): boolean;
	/** Throws at the first refused change; earlier changes remain. */
	changeLoopback(changes: readonly AddressChange[]): Promise<void>;
	guard(): Promise<ObservedGuard>;
	/** Returns the generations of nf_tables before and after, unless another process has also changed it. */
	applyGuard(desired: VipGuard | undefined, observed: ObservedGuard): Promise<GenerationStep | undefined>;
	/**
	 * The director of this namespace, running or not. Called only if one runs or is wanted, because it loads
	 * the director's code. The caller disposes of it; attached programs keep running.
	 */
	openDirector(): Promise<Director>;
	/**
	 * The lock around every change of this host; `onWait` is told once who holds it when the wait gets long.
	 * Throws LOCK_HELD after the wait.
	 */
	lock(waitMs: number, onWait?: (holder: string) => void): Promise<Disposable>;
}
