/** The effects on this process's host, in its network namespace. */
import type { RingCache } from "../balance/ring-cache.ts";
import { changeLoopbackAddresses, listInterfaceAddresses, listLoopbackAddresses } from "../host/addresses.ts";
import { findAgent } from "../host/agent-presence.ts";
import { loopbackTakesIpv6 } from "../host/ipv6.ts";
import { acquireHostLock } from "../host/lock.ts";
import { applyGuard, observeGuard } from "../host/vip-guard.ts";
import type { HostEffects } from "./host-effects.ts";

/** They depend only on their services: an agent opens its director at each run. */
let rings: RingCache | undefined;

export const SYSTEM_EFFECTS: HostEffects = {
	async openDatapath(settings, memory) {
		// Commands that use no datapath do not load it.
		const { openDatapath } = await import("../rewrite/host-datapath.ts");
		return openDatapath(settings, memory);
	},
	async openDirector() {
		const { Director } = await import("../balance/kernel/director.ts");
		const { RingCache } = await import("../balance/ring-cache.ts");
		rings ??= new RingCache();
		// Without checks, a new real server would wait forever for its first success.
		return Director.open({ checked: findAgent() !== undefined, rings });
	},
	interfaces: async () => listInterfaceAddresses(),
	loopbackAddresses: async () => listLoopbackAddresses(),
	hasIpv6: loopbackTakesIpv6,
	changeLoopback: async (changes) => changeLoopbackAddresses(changes),
	guard: async () => observeGuard(),
	applyGuard: async (desired, observed) => applyGuard(desired, observed),
	lock: (waitMs, onWait) => acquireHostLock({ waitMs, ...(onWait === undefined ? {} : { onWait }) }),
};
