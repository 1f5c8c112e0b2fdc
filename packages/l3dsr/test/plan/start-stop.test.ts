import assert from "node:assert/strict";
import { test } from "node:test";
import {
	type Address,
	addressFromBytes,
	type Dscp,
	dscp,
	parseAddress,
	portOf,
	sameAddress,
} from "@l3dsr/packet";
import fc from "fast-check";
import { type Rule, type Table, ZERO_COUNTERS } from "../../src/model/rule.ts";
import type { RuleEntry, Ruleset } from "../../src/model/ruleset.ts";
import type { Service } from "../../src/model/service.ts";
import type { HostState, Step } from "../../src/plan/host-state.ts";
import { isStandardLoopback, type LoopbackAddress, planLoopback } from "../../src/plan/loopback.ts";
import { asBefore, planSteps } from "../../src/plan/plan-steps.ts";
import type { PlacedRule } from "../../src/plan/ruleset-editor.ts";
import { keyOfRule, keyOfService } from "../../src/plan/service-keys.ts";
import { reportServices } from "../../src/plan/service-status.ts";
import {
	type DesiredParts,
	type ServiceParts,
	withoutDiscovered,
	withoutServices,
	withServices,
} from "../../src/plan/start-stop.ts";
import { arbitraryRule } from "../arbitrary/rule.ts";

function address(text: string): Address {
	const parsed = parseAddress(text);
	assert(parsed !== undefined);
	return parsed;
}

/** Few values, so that observed and desired overlap. */
const vip = fc.oneof(
	fc.nat(5).map((n) => addressFromBytes([192, 0, 2, n])),
	fc.nat(5).map((n) => addressFromBytes([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n])),
	fc.constantFrom(address("127.0.0.1"), address("::1"), address("2001:db8::1:1")),
);
const code = fc.nat(4).map(dscp);
const table = fc.constantFrom<Table>("raw", "mangle");

function serviceOf(address: Address, dscp: Dscp | undefined): Service {
	return {
		name: address.text,
		vip: address,
		clearDscp: false,
		...(dscp === undefined ? {} : { selection: { dscp } }),
	};
}

const services = fc
	.array(fc.tuple(vip, fc.option(code, { nil: undefined })), { maxLength: 8 })
	.map((pairs) => pairs.map(([address, dscp]) => serviceOf(address, dscp)));

function plainRule(daddr: Address, dscp: Dscp, table: Table): Rule {
	return {
		family: daddr.family,
		table,
		chain: "PREROUTING",
		header: {},
		matches: [{ kind: "dscp", negated: false, dscp }],
		target: { daddr, clearDscp: false },
	};
}

const rules = fc
	.array(
		fc.oneof(
			fc.tuple(vip, code, table).map((parts) => plainRule(...parts)),
			arbitraryRule(),
		),
		{ maxLength: 12 },
	)
	.map((list) =>
		list.map((rule, index): PlacedRule => ({ rule, ordinal: (index + 1) * 3, counters: ZERO_COUNTERS })),
	);

const STANDARD: readonly LoopbackAddress[] = [
	{ address: address("127.0.0.1"), prefixLength: 8, label: "lo" },
	{ address: address("::1"), prefixLength: 128 },
];
const present = fc
	.uniqueArray(
		fc.tuple(vip, fc.nat(8), fc.constantFrom("lo", "lo:1", "lo:2", "lo:x")).map(
			([address, less, label]): LoopbackAddress => ({
				address,
				prefixLength: (address.family === "ipv4" ? 32 : 128) - less,
				...(address.family === "ipv4" ? { label } : {}),
			}),
		),
		{
			// The kernel has an IPv6 address once, an IPv4 one once for each prefix length.
			selector: ({ address: { text, family }, prefixLength }) =>
				family === "ipv6" ? text : `${text}/${prefixLength}`,
			maxLength: 6,
		},
	)
	.map((extra) => [...STANDARD, ...extra.filter((entry) => !isStandardLoopback(entry))]);
const host: fc.Arbitrary<ServiceParts> = fc.record({ rules, addresses: present });
const options = fc.record({ table, insert: fc.boolean() });

/** The kernel's effect of a step: each address once per prefix length, and only existing ones are removed. */
function applyStep(now: ServiceParts, step: Step): ServiceParts {
	if (step.kind === "rules") return { ...now, rules: applyRules(now.rules, step.ruleset) };
	assert(step.kind === "add-address" || step.kind === "remove-address" || step.kind === "resize");
	const { entry } = step;
	const held = [...now.addresses];
	const at = held.findIndex(
		(one) => sameAddress(one.address, entry.address) && one.prefixLength === entry.prefixLength,
	);
	assert.equal(
		at < 0,
		step.kind === "add-address",
		`${step.kind} ${entry.address.text}/${entry.prefixLength}`,
	);
	if (step.kind === "add-address") held.push(entry);
	else if (step.kind === "remove-address") held.splice(at, 1);
	else held[at] = { ...entry, prefixLength: step.prefixLength };
	return { ...now, addresses: held };
}

/** A host of which nothing else is observed. */
function stateOf(parts: ServiceParts): HostState {
	return { ...parts, findings: [], guard: { held: [], found: [], altered: false }, links: [] };
}

function stepsBetween(observed: ServiceParts, desired: DesiredParts): Step[] {
	return planSteps(stateOf(observed), desired);
}

function applyRules(observed: readonly PlacedRule[], { entries }: Ruleset): PlacedRule[] {
	const placed = entries.map(({ rule, ordinal, counters }) => ({
		rule,
		ordinal,
		counters: counters ?? observed.find((one) => one.rule === rule)?.counters ?? ZERO_COUNTERS,
	}));
	const places = placed.map(({ rule, ordinal }) => `${rule.family} ${rule.table} ${rule.chain} ${ordinal}`);
	assert.equal(new Set(places).size, places.length, "an ordinal stands twice in a chain");
	return placed;
}

function applied(observed: ServiceParts, desired: DesiredParts): ServiceParts {
	return stepsBetween(observed, desired).reduce(applyStep, observed);
}

/** Addresses as a set: the kernel has its own order. */
function addressTexts(addresses: readonly LoopbackAddress[]): string[] {
	return addresses
		.map(({ address, prefixLength, label }) => `${address.text}/${prefixLength} ${label}`)
		.sort();
}

function assertNothingToDo(observed: ServiceParts, desired: DesiredParts): void {
	assert.deepEqual(stepsBetween(observed, desired), []);
}

test("from any host, a start gives every service all its parts, and a second start does nothing", () => {
	fc.assert(
		fc.property(host, services, options, (observed, wanted, how) => {
			const desired = withServices(observed, wanted, how);
			const now = applied(observed, desired);
			assert.deepEqual(addressTexts(now.addresses), addressTexts(desired.addresses));
			const written = wanted.map((service) => ({ service, vipText: service.name, dscpText: "?" }));
			const { rows } = reportServices(now, written, { ipv6: true, table: how.table, discovered: false });
			assert(rows.every(({ state }) => state === "started"));
			assertNothingToDo(now, withServices(now, wanted, how));
		}),
	);
});

test("a start removes nothing and adds no rule or address twice", () => {
	fc.assert(
		fc.property(host, services, options, (observed, wanted, how) => {
			const desired = withServices(observed, wanted, how);
			for (const step of stepsBetween(observed, desired)) {
				assert(step.kind === "add-address" || step.kind === "rules", step.kind);
				if (step.kind !== "rules") continue;
				assert.deepEqual(step.removed, []);
				assert.equal(new Set(step.added.map((rule) => keyOfRule(rule))).size, step.added.length);
				for (const rule of step.added) assert.equal(rule.table, how.table);
			}
		}),
	);
});

test("a stop leaves nothing of the services, and everything else unchanged", () => {
	fc.assert(
		fc.property(host, services, (observed, wanted) => {
			const now = applied(observed, withoutServices(observed, wanted));
			const keys = new Set(wanted.map(keyOfService).filter((key) => key !== undefined));
			const vips = new Set(wanted.map(({ vip }) => vip.text));
			assert.deepEqual(
				now.rules,
				observed.rules.filter(({ rule }) => !keys.has(keyOfRule(rule) ?? "")),
			);
			assert.deepEqual(
				addressTexts(now.addresses),
				addressTexts(
					observed.addresses.filter((one) => isStandardLoopback(one) || !vips.has(one.address.text)),
				),
			);
			assertNothingToDo(now, withoutServices(now, wanted));
		}),
	);
});

test("a stop of everything leaves only other chains and the standard addresses", () => {
	fc.assert(
		fc.property(host, (observed) => {
			const now = applied(observed, withoutDiscovered(observed));
			assert.deepEqual(addressTexts(now.addresses), addressTexts(STANDARD));
			assert.deepEqual(
				now.rules,
				observed.rules.filter(({ rule }) => rule.chain !== "PREROUTING"),
			);
		}),
	);
});

test("a start from nothing and a stop restore the host", () => {
	fc.assert(
		fc.property(services, options, (wanted, how) => {
			const observed: ServiceParts = { rules: [], addresses: STANDARD };
			const started = applied(observed, withServices(observed, wanted, how));
			const stopped = applied(started, withoutServices(started, wanted));
			assert.deepEqual(stopped.rules, []);
			assert.deepEqual(addressTexts(stopped.addresses), addressTexts(STANDARD));
		}),
	);
});

test("wherever a change was interrupted, undoing it restores the host, including counters", () => {
	fc.assert(
		fc.property(host, services, options, fc.boolean(), fc.nat(), (base, wanted, how, starts, cut) => {
			const observed: ServiceParts = {
				...base,
				rules: base.rules.map((placed, n) => ({ ...placed, counters: { packets: BigInt(n), bytes: 9n } })),
			};
			const desired = starts ? withServices(observed, wanted, how) : withoutServices(observed, wanted);
			const steps = stepsBetween(observed, desired);
			const broken = steps.slice(0, cut % (steps.length + 1)).reduce(applyStep, observed);
			const before = asBefore(stateOf(observed), stateOf(broken), desired);
			const { ruleset, addresses } = before;
			assert(addresses !== undefined);
			const undone = applied(broken, { ruleset, addresses });
			assert.deepEqual(undone.rules, observed.rules);
			assert.deepEqual(addressTexts(undone.addresses), addressTexts(observed.addresses));
		}),
	);
});

test("each new IPv4 VIP takes the lowest free label, an IPv6 VIP none", () => {
	const observed: ServiceParts = {
		rules: [],
		addresses: [...STANDARD, { address: address("192.0.2.99"), prefixLength: 32, label: "lo:2" }],
	};
	const wanted = ["192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3"].map((text) =>
		serviceOf(address(text), undefined),
	);
	const { addresses } = withServices(observed, wanted, { table: "raw", insert: false });
	assert.deepEqual(
		addresses.slice(3).map(({ label }) => label),
		["lo:1", undefined, "lo:3", "lo:4"],
	);
});

test("rules are appended in the order of the services; inserted, each goes above the one before it", () => {
	const foreign = {
		rule: plainRule(address("192.0.2.99"), dscp(9), "raw"),
		ordinal: 1,
		counters: ZERO_COUNTERS,
	};
	const observed: ServiceParts = { rules: [foreign], addresses: STANDARD };
	const wanted = [1, 2, 3].map((n) => serviceOf(addressFromBytes([192, 0, 2, n]), dscp(n)));
	const order = (insert: boolean) =>
		[...withServices(observed, wanted, { table: "raw", insert }).ruleset.entries]
			.sort((a, b) => a.ordinal - b.ordinal)
			.map(({ rule }) => rule.target.daddr.bytes.at(-1));
	assert.deepEqual(order(false), [99, 1, 2, 3]);
	assert.deepEqual(order(true), [3, 2, 1, 99]);
});

test("secondary addresses are removed before the first address of their subnet", () => {
	const subnet = [1, 2, 3].map((n) => ({
		address: addressFromBytes([192, 0, 2, n]),
		prefixLength: 24,
		label: "lo",
	}));
	const { after } = planLoopback([...STANDARD, ...subnet], STANDARD);
	assert.deepEqual(
		after.map(({ entry }) => entry.address.text),
		["192.0.2.3", "192.0.2.2", "192.0.2.1"],
	);
});

test("an address keeps its label, and an IPv6 address with another prefix length is changed", () => {
	const four = { address: address("192.0.2.1"), prefixLength: 32 };
	const six = { address: address("2001:db8::1"), prefixLength: 64 };
	assert.deepEqual(
		planLoopback(
			[{ ...four, label: "lo" }, six],
			[
				{ ...four, label: "lo:1" },
				{ ...six, prefixLength: 128 },
			],
		),
		{
			before: [{ kind: "resize", entry: six, prefixLength: 128 }],
			after: [],
		},
	);
});

test("a moved rule is neither added nor removed, and a rule with new counters is changed", () => {
	const rule = plainRule(address("192.0.2.1"), dscp(7), "raw");
	const observed = { rules: [{ rule, ordinal: 1, counters: ZERO_COUNTERS }], addresses: STANDARD };
	const planned = (entry: RuleEntry) =>
		planSteps(stateOf(observed), { ruleset: { entries: [entry] } }).map((step) =>
			step.kind === "rules" ? [step.added.length, step.removed.length] : step.kind,
		);
	assert.deepEqual(planned({ rule, ordinal: 1 }), []);
	assert.deepEqual(planned({ rule, ordinal: 2 }), [[0, 0]]);
	assert.deepEqual(planned({ rule, ordinal: 1, counters: ZERO_COUNTERS }), []);
	assert.deepEqual(planned({ rule, ordinal: 1, counters: { packets: 1n, bytes: 60n } }), [[0, 0]]);
});

const plain = plainRule(address("192.0.2.1"), dscp(7), "raw");
for (const [title, rule, counts] of [
	["a plain rule", plain, true],
	["a rule in mangle", { ...plain, table: "mangle" }, true],
	[
		"a rule with a comment",
		{ ...plain, matches: [...plain.matches, { kind: "comment", text: "web" }] },
		true,
	],
	[
		"a rule for this host's addresses",
		{ ...plain, matches: [...plain.matches, { kind: "addrtype", negated: false, destinationType: "LOCAL" }] },
		true,
	],
	[
		"a rule of `l3dsr up` for one interface",
		{
			...plain,
			header: { inInterface: { negated: false, name: "eth0", wildcard: false } },
			matches: [...plain.matches, { kind: "comment", text: "l3dsr:web" }],
		},
		true,
	],
	[
		"a rule for one interface",
		{ ...plain, header: { inInterface: { negated: false, name: "eth0", wildcard: false } } },
		false,
	],
	["a rule for one protocol", { ...plain, header: { protocol: { negated: false, number: 6 } } }, false],
	[
		"a rule for all other codes",
		{ ...plain, matches: [{ kind: "dscp", negated: true, dscp: dscp(7) }] },
		false,
	],
	["a rule without a code", { ...plain, matches: [] }, false],
	["a rule that sets the port", { ...plain, target: { ...plain.target, dport: portOf(80) } }, false],
	["a rule that clears DSCP", { ...plain, target: { ...plain.target, clearDscp: true } }, false],
	["a rule in mangle INPUT", { ...plain, table: "mangle", chain: "INPUT" }, false],
] as const satisfies readonly (readonly [string, Rule, boolean])[]) {
	test(`${title} ${counts ? "does" : "does not do"} a service's work`, () => {
		assert.equal(keyOfRule(rule), counts ? "192.0.2.1=7" : undefined);
	});
}
