/** One run of the agent on a simulated host: when it takes the lock, and when it reads the host twice. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LinuxError } from "@l3dsr/linux";
import { Counts } from "../../src/agent/counts.ts";
import type { AgentHost, EventMonitor } from "../../src/agent/effects.ts";
import { Keeper, type Run } from "../../src/agent/keeper.ts";
import type { AgentRecord, Trigger } from "../../src/agent/record.ts";
import { RecordLog } from "../../src/agent/record-log.ts";
import { recordLines } from "../../src/agent/record-text.ts";
import { diagnosticsOf } from "../../src/cli/error-table.ts";
import type { AddressChange, AddressedInterface } from "../../src/host/addresses.ts";
import type { Hold } from "../../src/host/hold.ts";
import { NO_GUARD, type ObservedGuard } from "../../src/host/vip-guard.ts";
import type { VipGuard } from "../../src/model/vip-guard.ts";
import type { ObservedRule } from "../../src/rewrite/datapath.ts";
import { MemoryHost } from "../reconcile/memory-host.ts";

const CONFIG = "services:\n  - { vip: 192.0.2.10, name: web, dscp: 7 }\n";

/** With an `lo` and a guard. */
class KeptHost extends MemoryHost implements AgentHost {
	#guard: ObservedGuard = NO_GUARD;
	readonly dsrConfFolder = "/etc/dsr.d";
	config = CONFIG;
	/** Called during the wait for the lock. */
	onLock: () => void = () => {};
	/** Deleted by somebody, and not restored yet. */
	deleted: readonly ObservedRule[] | undefined;

	readonly spare = {
		keep() {},
		isMissing: () => this.deleted !== undefined,
		restore: () => {
			this.log.push("restore");
			const state = { rules: [], findings: [], addresses: this.addresses, guard: NO_GUARD, links: [] };
			const added = (this.deleted ?? []).map(({ rule }) => rule);
			this.rules = this.deleted ?? [];
			this.deleted = undefined;
			const step = {
				kind: "rules",
				ruleset: { entries: this.rules },
				added,
				removed: [],
				repaired: [],
			} as const;
			return { state, steps: [step] };
		},
	};

	readFile(): string {
		return this.config;
	}

	listFolder(): undefined {
		return undefined;
	}

	async addressOf(): Promise<undefined> {
		return undefined;
	}

	ownAddresses(): [] {
		return [];
	}

	override async interfaces(): Promise<AddressedInterface[]> {
		const addresses = this.addresses.map((one) => ({ ...one, scope: "global" as const }));
		return [{ name: "lo", alternativeNames: [], up: true, mtu: 65536, addresses }];
	}

	override async changeLoopback(changes: readonly AddressChange[]): Promise<void> {
		for (const { kind, prefixLength = 32, ...entry } of changes) {
			this.log.push(`${kind} ${entry.address.text}`);
			if (kind === "add") this.addresses = [...this.addresses, { ...entry, prefixLength }];
		}
	}

	override async guard(): Promise<ObservedGuard> {
		return this.#guard;
	}

	override async applyGuard(guard: VipGuard | undefined): Promise<undefined> {
		this.#guard =
			guard === undefined ? NO_GUARD : { held: guard.held, found: guard.found, guard, altered: false };
	}

	override async lock(): Promise<Disposable> {
		this.log.push("lock");
		this.onLock();
		return { [Symbol.dispose]: () => void this.log.push("unlock") };
	}
}

interface Kept extends Disposable {
	readonly host: KeptHost;
	readonly records: RecordLog;
	hold: Hold | undefined;
	isQuiet: boolean;
	/** The wall clock. */
	now: Date;
	/** Added to the monotonic clock. */
	passedMs: number;
	run(...triggers: readonly Trigger[]): Promise<string>;
}

/** A host that a keeper has made right; its log omits the steps for that. */
async function kept(): Promise<Kept> {
	const host = new KeptHost();
	const records = new RecordLog(() => state.now);
	const stop = new AbortController().signal;
	const monitor: EventMonitor = {
		mark() {},
		quietSinceMark: () => state.isQuiet,
		watchPrograms() {},
		watchFiles: () => [],
		[Symbol.dispose]() {},
	};
	const effects = {
		monitor: () => monitor,
		hold: () => state.hold,
		runningPrograms: () => new Set<string>(),
		monotonicMs: () => performance.now() + state.passedMs,
		processorMs: () => 0,
		now: () => state.now,
	};
	const keeper = new Keeper(
		{ host, effects, diagnosticsOf, configuration: "/l3dsr.yaml", env: {}, stop },
		records,
		new Counts(),
	);
	const state: Kept = {
		host,
		records,
		hold: undefined,
		isQuiet: true,
		now: new Date("2026-03-01T12:00:00Z"),
		passedMs: 0,
		async run(...triggers) {
			const evidence = { changes: [], links: [], programs: false, flushed: false };
			const run: Run = { triggers, since: performance.now(), evidence };
			const { kind } = await keeper.run(run, monitor);
			keeper.keepSpares();
			return kind;
		},
		[Symbol.dispose]: () => keeper[Symbol.dispose](),
	};
	assert.equal(await state.run("start"), "changed");
	host.log.length = 0;
	return state;
}

test("a run that finds nothing to do leaves the lock to others", async () => {
	using agent = await kept();
	assert.equal(await agent.run("address"), "settled");
	assert.deepEqual(agent.host.log, ["observe"]);
});

test("a repair is made under the lock, from the reading before it", async () => {
	using agent = await kept();
	agent.host.addresses = [];
	assert.equal(await agent.run("address"), "changed");
	assert.deepEqual(agent.host.log, ["observe", "lock", "add 192.0.2.10", "observe", "unlock"]);
});

test("deleted tables are restored under the lock before the host is read, and one record tells of all", async () => {
	using agent = await kept();
	const { host, records } = agent;
	host.deleted = host.rules;
	host.rules = [];
	host.addresses = [];
	const known = records.records().length;
	assert.equal(await agent.run("ruleset"), "changed");
	assert.deepEqual(host.log, ["lock", "restore", "observe", "add 192.0.2.10", "observe", "unlock"]);
	const told = records.records().slice(known);
	assert.deepEqual(
		told.map((one) => (one.kind === "repaired" ? one.drift.map(({ kind }) => kind) : one.kind)),
		[["rule-missing", "address-missing"]],
	);
	host.log.length = 0;
	assert.equal(await agent.run("ruleset"), "settled");
	assert.deepEqual(host.log, ["observe"]);
});

test("restored tables are told by the next run if reading the host fails", async () => {
	using agent = await kept();
	const { host, records } = agent;
	host.deleted = host.rules;
	host.rules = [];
	host.onObserve = () => {
		throw new Error("out of memory");
	};
	assert.equal(await agent.run("ruleset"), "failed");
	host.onObserve = () => {};
	assert.equal(await agent.run("retry"), "changed");
	const [repaired, recovered] = records.records().slice(-2);
	assert(repaired?.kind === "repaired");
	assert(repaired.tookMs >= 0 && repaired.tookMs <= repaired.verifiedMs, `${repaired.tookMs} ms`);
	assert.deepEqual(repaired.triggers, ["ruleset"]);
	assert.deepEqual(
		repaired.drift.map(({ kind }) => kind),
		["rule-missing"],
	);
	assert.equal(recovered?.kind, "recovered");
});

test("deleted tables stay deleted if somebody has put a new configuration into force", async () => {
	using agent = await kept();
	const { host } = agent;
	host.config = "services: []\n";
	await host.applyGuard(undefined);
	host.deleted = host.rules;
	host.rules = [];
	host.addresses = [];
	assert.equal(await agent.run("file", "ruleset"), "settled");
	assert.deepEqual(host.rules, []);
});

test("deleted tables stay deleted if an operator's down came first", async () => {
	using agent = await kept();
	const { host } = agent;
	host.deleted = host.rules;
	host.rules = [];
	host.onLock = () => {
		agent.hold = { since: "2026-03-01T12:00:00.000Z", by: "l3dsr down" };
	};
	assert.equal(await agent.run("ruleset"), "settled");
	assert.deepEqual(host.log, ["lock", "unlock"]);
});

test("a host that has changed since it was read is read again under the lock", async () => {
	using agent = await kept();
	const { host } = agent;
	const { addresses } = host;
	host.addresses = [];
	agent.isQuiet = false;
	host.onLock = () => {
		host.addresses = addresses;
	};
	assert.equal(await agent.run("address"), "settled");
	assert.deepEqual(host.log, ["observe", "lock", "observe", "unlock"]);
});

test("a repair is not made if an operator's down came first", async () => {
	using agent = await kept();
	const { host, records } = agent;
	host.addresses = [];
	host.onLock = () => {
		agent.hold = { since: "2026-03-01T12:00:00.000Z", by: "l3dsr down" };
	};
	assert.equal(await agent.run("address"), "settled");
	assert.deepEqual(host.log, ["observe", "lock", "unlock"]);
	assert.deepEqual(host.addresses, []);
	assert.equal(records.records().at(-1)?.kind, "held");
});

test("a command that keeps the lock for long is named once, and the repair is made when it ends", async () => {
	using agent = await kept();
	const { host, records } = agent;
	const { addresses } = host;
	host.addresses = [];
	let tries = 0;
	host.onLock = () => {
		if (++tries > 20) return;
		agent.passedMs += 1000;
		throw new LinuxError("LOCK_HELD", "lock /run/l3dsr.1.lock: held by process 7 (sleep)");
	};
	assert.equal(await agent.run("address"), "changed");
	assert.deepEqual(host.addresses, addresses);
	const told = records.records().slice(-3);
	assert.deepEqual(
		told.map(({ kind }) => kind),
		["failed", "repaired", "recovered"],
	);
	assert.match(
		recordLines(told[0] as AgentRecord).join("\n"),
		/LOCK_HELD\]: change this host: lock .*: held by process 7 \(sleep\)\n.*end it if it hangs.*\nnext attempt in 1 s/s,
	);
});

test("a jump of the wall clock changes the times of records, but no measured time or delay", async () => {
	using agent = await kept();
	const { host, records } = agent;
	for (const jump of ["1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z"]) {
		const { addresses } = host;
		host.addresses = [];
		host.onLock = () => {
			throw new Error("the disk is full");
		};
		assert.equal(await agent.run("address"), "failed");
		agent.now = new Date(jump);
		host.onLock = () => {};
		assert.equal(await agent.run("retry"), "changed");
		assert.deepEqual(host.addresses, addresses);
		const told = records.records().slice(-2);
		assert.deepEqual(
			told.map(({ kind, time }) => [kind, time]),
			[
				["repaired", new Date(jump).toISOString()],
				["recovered", new Date(jump).toISOString()],
			],
		);
		for (const record of told) {
			if (record.kind === "repaired") assert(record.verifiedMs >= 0 && record.verifiedMs < 60_000);
			if (record.kind === "recovered") assert(record.failingMs >= 0 && record.failingMs < 60_000);
		}
	}
});
