/** A simulated host: counts its readings, and fails where a test wants it to. */
import type { AddressChange } from "../../src/host/addresses.ts";
import { NO_GUARD } from "../../src/host/vip-guard.ts";
import { ZERO_COUNTERS } from "../../src/model/rule.ts";
import type { Ruleset } from "../../src/model/ruleset.ts";
import type { LoopbackAddress } from "../../src/plan/loopback.ts";
import type { HostEffects } from "../../src/reconcile/host-effects.ts";
import type { Assignment } from "../../src/rewrite/assign.ts";
import type { DatapathFinding, ObservedRule } from "../../src/rewrite/datapath.ts";
import type { HostDatapath } from "../../src/rewrite/host-datapath.ts";

export class MemoryHost implements HostEffects, HostDatapath {
	rules: readonly ObservedRule[] = [];
	findings: readonly DatapathFinding[] = [];
	addresses: readonly LoopbackAddress[] = [];
	/** Its readings and changes, in order. */
	readonly log: string[] = [];
	/** Called before each reading of the rules. */
	onObserve: () => void = () => {};
	/** Called before a change of the rules; an error that it throws is the kernel's refusal. */
	onChange: (assignment: Assignment) => void = () => {};
	/** False: reports changes as done without making them. */
	obedient = true;

	async observe(): ReturnType<HostDatapath["observe"]> {
		this.log.push("observe");
		this.onObserve();
		const { rules, findings } = this;
		return {
			rules,
			findings,
			directors: [],
			assign: async (ruleset) => onNft(ruleset),
			assignAsObserved: onNft,
			change: async (assignment) => {
				this.log.push(`change to ${assignment.rules.length} rules`);
				this.onChange(assignment);
				if (!this.obedient) return;
				this.findings = [];
				this.rules = assignment.nft.entries.map(({ rule, ordinal, counters }) => {
					const before = rules.find((one) => one.ordinal === ordinal);
					return { rule, ordinal, counters: counters ?? before?.counters ?? ZERO_COUNTERS, datapath: "nft" };
				});
			},
		};
	}

	async openDatapath(): Promise<HostDatapath> {
		return this;
	}

	async openDirector(): ReturnType<HostEffects["openDirector"]> {
		throw new Error("this host directs nothing");
	}

	async loopbackAddresses(): Promise<readonly LoopbackAddress[]> {
		return this.addresses;
	}

	async changeLoopback(changes: readonly AddressChange[]): Promise<void> {
		for (const { kind, address, prefixLength = 32 } of changes) {
			this.log.push(`${kind} ${address.text}`);
			if (kind === "add") this.addresses = [...this.addresses, { address, prefixLength }];
			else this.addresses = this.addresses.filter((one) => one.address.text !== address.text);
		}
	}

	async interfaces(): ReturnType<HostEffects["interfaces"]> {
		return [];
	}

	hasIpv6(): boolean {
		return true;
	}

	async guard(): ReturnType<HostEffects["guard"]> {
		return NO_GUARD;
	}

	async applyGuard(..._change: Parameters<HostEffects["applyGuard"]>): Promise<undefined> {}

	async lock(): Promise<Disposable> {
		return { [Symbol.dispose](): void {} };
	}
}

function onNft(nft: Ruleset): Assignment {
	const reason = { kind: "asked-for-nft" } as const;
	return { rules: nft.entries.map((entry) => ({ entry, datapath: "nft", reason })), ebpf: new Map(), nft };
}
