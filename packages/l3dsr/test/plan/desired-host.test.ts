import assert from "node:assert/strict";
import { test } from "node:test";
import { addressBits, dscp, parseAddress } from "@l3dsr/packet";
import fc from "fast-check";
import type { Finding } from "../../src/model/finding.ts";
import { lowerService, signatureOf } from "../../src/model/lower-service.ts";
import { type Rule, sameValue, ZERO_COUNTERS } from "../../src/model/rule.ts";
import { findConflicts } from "../../src/model/selection.ts";
import type { Service } from "../../src/model/service.ts";
import { guardFor, type LinkAddress } from "../../src/model/vip-guard.ts";
import { desiredHost, type Wish } from "../../src/plan/desired-host.ts";
import type { HostState, Step } from "../../src/plan/host-state.ts";
import type { LoopbackAddress } from "../../src/plan/loopback.ts";
import { planSteps } from "../../src/plan/plan-steps.ts";

function address(text: string) {
	const parsed = parseAddress(text);
	assert(parsed !== undefined);
	return parsed;
}

function service(vip: string, code?: number, more: Partial<Service> = {}): Service {
	const selection = code === undefined ? {} : { selection: { dscp: dscp(code) } };
	return { name: vip, vip: address(vip), clearDscp: false, ...selection, ...more };
}

const LOWERING = { table: "raw", localOnly: true, signed: true } as const;
const PLAIN = { table: "raw", localOnly: false, signed: false } as const;
const LINKS: LinkAddress[] = [{ interface: "eth0", address: address("10.0.0.2"), prefixLength: 24 }];
const STANDARD: LoopbackAddress[] = [
	{ address: address("127.0.0.1"), prefixLength: 8, label: "lo" },
	{ address: address("::1"), prefixLength: 128 },
];
const EMPTY: HostState = {
	rules: [],
	findings: [],
	addresses: STANDARD,
	guard: { held: [], found: [], altered: false },
	links: LINKS,
};

function wish(services: readonly Service[], elsewhere: readonly Service[] = []): Wish {
	return { services, lowering: LOWERING, elsewhere };
}

/** The host after a step, as the kernel would have it. */
function applyStep(state: HostState, step: Step): HostState {
	switch (step.kind) {
		case "director":
			return state;
		case "guard":
			return {
				...state,
				guard:
					step.guard === undefined
						? { held: [], found: [], altered: false }
						: { held: step.guard.held, found: step.guard.found, guard: step.guard, altered: false },
			};
		case "rules":
			return {
				...state,
				findings: [],
				rules: step.ruleset.entries.map((entry) => ({ ...entry, counters: ZERO_COUNTERS })),
			};
		case "add-address":
			// The kernel's own rule: IPv6 has an address once, IPv4 once for each prefix length.
			assert(
				!state.addresses.some(
					({ address: { text, family }, prefixLength }) =>
						text === step.entry.address.text &&
						(family === "ipv6" || prefixLength === step.entry.prefixLength),
				),
			);
			return { ...state, addresses: [...state.addresses, step.entry] };
		case "remove-address":
			assert(state.addresses.some((entry) => sameValue(entry, step.entry)));
			return { ...state, addresses: state.addresses.filter((entry) => !sameValue(entry, step.entry)) };
		case "resize":
			return {
				...state,
				addresses: state.addresses.map((entry) =>
					sameValue(entry, step.entry) ? { ...entry, prefixLength: step.prefixLength, own: true } : entry,
				),
			};
	}
}

function up(state: HostState, wanted: Wish): { steps: Step[]; after: HostState } {
	const steps = planSteps(state, desiredHost(state, wanted));
	return { steps, after: steps.reduce(applyStep, state) };
}

function holds(state: HostState, vip: string): boolean {
	return state.addresses.some(({ address: { text } }) => text === vip);
}

test("up guards the VIPs, adds them to lo, and then rewrites to them", () => {
	const { steps } = up(
		EMPTY,
		wish([service("192.0.2.1", 7), service("2001:db8::1", 7), service("192.0.2.2")]),
	);
	assert.deepEqual(
		steps.map((step) =>
			step.kind === "add-address" ? `${step.entry.address.text} ${step.entry.label}` : step.kind,
		),
		["guard", "192.0.2.1 lo:1", "2001:db8::1 undefined", "192.0.2.2 lo:2", "rules"],
	);
});

test("down removes rules, addresses and then the guard, and nothing of others", () => {
	const hand = lowerService(service("192.0.2.9", 9), PLAIN).map((rule) => ({
		rule,
		ordinal: 7,
		counters: ZERO_COUNTERS,
	}));
	const other: LoopbackAddress = { address: address("192.0.2.9"), prefixLength: 32, label: "lo:9" };
	const before = { ...EMPTY, rules: hand, addresses: [...STANDARD, other] };
	const { after } = up(before, wish([service("192.0.2.1", 7)]));
	const down = up(after, wish([]));
	assert.deepEqual(
		down.steps.map(({ kind }) => kind),
		["rules", "remove-address", "guard"],
	);
	assert.deepEqual(down.after, before);
});

test("a rule of dsrctl for the same VIP and code is taken over in its place, with address and label", () => {
	const plain = lowerService(service("192.0.2.1", 7), PLAIN).map((rule) => ({
		rule,
		ordinal: 42,
		counters: ZERO_COUNTERS,
	}));
	const held: LoopbackAddress = { address: address("192.0.2.1"), prefixLength: 32, label: "lo:5" };
	const state = { ...EMPTY, rules: plain, addresses: [...STANDARD, held] };
	const { steps, after } = up(state, wish([service("192.0.2.1", 7)]));
	assert.deepEqual(
		steps.map(({ kind }) => kind),
		["guard", "rules"],
	);
	assert.deepEqual(
		after.rules.map(({ rule, ordinal }) => [signatureOf(rule), ordinal]),
		[["192.0.2.1", 42]],
	);
	assert.deepEqual(after.addresses, state.addresses);
});

test("a service that has moved to dsr.conf is handed back: its rule stays in place, its address unchanged", () => {
	for (const moved of [service("192.0.2.1", 7), service("192.0.2.1")]) {
		const { after } = up(EMPTY, wish([moved]));
		const back = up(after, wish([], [moved]));
		assert.deepEqual(
			back.after.rules.map(({ rule }) => rule),
			lowerService(moved, PLAIN),
		);
		assert.deepEqual(
			back.after.rules.map(({ ordinal }) => ordinal),
			after.rules.map(({ ordinal }) => ordinal),
		);
		assert(holds(back.after, "192.0.2.1"));
		assert(back.steps.every(({ kind }) => kind === "rules" || kind === "guard"));
	}
});

test("a VIP keeps its address as long as another program's rule rewrites to it", () => {
	const { after } = up(EMPTY, wish([service("192.0.2.1", 7)]));
	const [foreign] = lowerService(service("192.0.2.1", 9), PLAIN);
	assert(foreign !== undefined);
	const shared = {
		...after,
		rules: [...after.rules, { rule: foreign, ordinal: 9999, counters: ZERO_COUNTERS }],
	};
	assert(holds(up(shared, wish([])).after, "192.0.2.1"));
});

test("a VIP that was on lo before keeps its label and prefix, while it is served and afterwards", () => {
	const bare: LoopbackAddress = { address: address("192.0.2.1"), prefixLength: 32, label: "lo" };
	const wide: LoopbackAddress = { address: address("192.0.2.2"), prefixLength: 24, label: "lo:1" };
	const state = { ...EMPTY, addresses: [...STANDARD, bare, wide] };
	const services = [service("192.0.2.1"), service("192.0.2.2"), service("192.0.2.3")];
	const { steps, after } = up(state, wish(services));
	assert.deepEqual(
		steps.map(({ kind }) => kind),
		["guard", "add-address"],
	);
	assert.deepEqual(up(after, wish(services)).steps, []);
	assert.deepEqual(up(after, wish([])).after, state);
});

test("addresses that up has added to lo are deleted even if the guard that remembers them was flushed", () => {
	const { after } = up(EMPTY, wish([service("192.0.2.1"), service("2001:db8::1")]));
	const flushed = { ...after, guard: EMPTY.guard };
	assert.deepEqual(up(flushed, wish([])).after.addresses, STANDARD);
	const again = up(flushed, wish([service("192.0.2.1"), service("2001:db8::1")]));
	assert.deepEqual(again.after, after);
});

test("a VIP that another program has added beside ours is theirs, even if up was stopped half-way", () => {
	const vip = address("192.0.2.2");
	const ours: LoopbackAddress = { address: vip, prefixLength: 24, label: "lo", own: true };
	const theirs: LoopbackAddress = { address: vip, prefixLength: 32, label: "lo" };
	const guard = guardFor([vip], LINKS, [vip]);
	const state: HostState = {
		...EMPTY,
		addresses: [...STANDARD, ours, theirs],
		guard: { held: [vip], found: [vip], altered: false, ...(guard && { guard }) },
	};
	const wanted = wish([service("192.0.2.2", 7)]);
	const { steps, after } = up(state, wanted);
	assert.deepEqual(after.addresses, [...STANDARD, theirs]);
	for (let n = 0; n <= steps.length; n++) {
		const again = up(steps.slice(0, n).reduce(applyStep, state), wanted).after;
		assert.deepEqual(again.guard.found, [vip], `stopped after ${n} steps`);
		assert.deepEqual(up(again, wish([])).after.addresses, [...STANDARD, theirs]);
	}
});

test("a wider prefix that another program has added to one of up's VIPs is deleted", () => {
	const { after } = up(EMPTY, wish([service("192.0.2.1"), service("2001:db8::1")]));
	const [six] = after.addresses.filter(({ address: { text } }) => text === "2001:db8::1");
	assert(six !== undefined);
	const wide: LoopbackAddress = { address: address("192.0.2.1"), prefixLength: 24, label: "lo" };
	const { own: _, ...theirs } = { ...six, prefixLength: 64 };
	const meddled = { ...after, addresses: [...after.addresses.filter((one) => one !== six), theirs, wide] };
	const { steps, after: mended } = up(meddled, wish([service("192.0.2.1"), service("2001:db8::1")]));
	assert.deepEqual(
		steps.map(({ kind }) => kind),
		["resize", "remove-address"],
	);
	assert.deepEqual(new Set(mended.addresses), new Set(after.addresses));
});

const VIPS = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"];
const arbitraryService = fc
	.record({
		vip: fc.constantFrom(...VIPS),
		code: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
		clearDscp: fc.boolean(),
		port: fc.option(fc.constantFrom(80, 81), { nil: undefined }),
	})
	.map(({ vip, code, clearDscp, port }): Service => {
		const one = service(vip, code);
		if (one.selection === undefined || port === undefined) return one;
		return {
			...one,
			clearDscp,
			selection: { ...one.selection, protocols: [6], ports: [{ first: port, last: port }] },
		};
	});
const arbitraryServices = fc
	.array(arbitraryService, { maxLength: 6 })
	.map((services) => services.filter((_, index) => findConflicts(services.slice(0, index + 1)).length === 0));
const arbitraryRule: fc.Arbitrary<Rule> = fc
	.record({
		from: arbitraryService,
		table: fc.constantFrom("raw", "mangle"),
		signed: fc.boolean(),
		localOnly: fc.boolean(),
		via: fc.constantFrom(undefined, "eth0", "eth1"),
	})
	.map(({ from, table, signed, localOnly, via }) =>
		lowerService(from.selection === undefined ? { ...from, selection: { dscp: dscp(9) } } : from, {
			table: table === "raw" ? "raw" : "mangle",
			signed,
			localOnly,
			...(via === undefined ? {} : { interfaces: [{ name: via, wildcard: false }] }),
		}),
	)
	.map(([rule]) => {
		assert(rule !== undefined);
		return rule;
	});
const arbitraryEntry: fc.Arbitrary<LoopbackAddress> = fc
	.record({
		vip: fc.constantFrom(...VIPS, "198.51.100.1"),
		narrower: fc.constantFrom(0, 0, 0, 1, 8),
		label: fc.constantFrom("lo", "lo:1", "lo:2", "lo:old"),
		own: fc.boolean(),
	})
	.map(({ vip, narrower, label, own }) => {
		const parsed = address(vip);
		const bare = {
			address: parsed,
			prefixLength: addressBits(parsed.family) - narrower,
			...(own ? { own } : {}),
		};
		return parsed.family === "ipv6" ? bare : { ...bare, label };
	});
const arbitraryState: fc.Arbitrary<HostState> = fc
	.record({
		rules: fc.array(arbitraryRule, { maxLength: 8 }),
		findings: fc.subarray<Finding>([
			{ kind: "damage", object: "table ip l3dsr, map m", problem: "no rule looks it up" },
		]),
		entries: fc.uniqueArray(arbitraryEntry, {
			maxLength: 6,
			selector: ({ address: { text, family }, prefixLength }) =>
				family === "ipv6" ? text : `${text}/${prefixLength}`,
		}),
		held: fc.subarray(VIPS),
		found: fc.subarray(VIPS),
		guard: fc.constantFrom("intact", "altered", "stale"),
	})
	.map(({ rules, findings, entries, held, found: before, guard }) => {
		const found = before.filter((vip) => held.includes(vip)).map(address);
		const whole = guardFor(held.map(address), guard === "stale" ? [] : LINKS, found);
		return {
			rules: rules.map((rule, index) => ({ rule, ordinal: index, counters: ZERO_COUNTERS })),
			findings,
			addresses: [...STANDARD, ...entries],
			guard:
				whole === undefined || guard === "altered"
					? { held: held.map(address), found, altered: guard === "altered" }
					: { held: whole.held, found: whole.found, guard: whole, altered: false },
			links: LINKS,
		};
	});
const arbitraryWish = fc
	.record({ services: arbitraryServices, elsewhere: arbitraryServices })
	.map(({ services, elsewhere }) =>
		wish(
			services,
			elsewhere.filter(({ selection }) => selection?.ports === undefined),
		),
	);

test("property: the steps lead from any host to the desired one, and then there are no more", () => {
	fc.assert(
		fc.property(arbitraryState, arbitraryWish, (state, wanted) => {
			const desired = desiredHost(state, wanted);
			const { after } = up(state, wanted);
			assert.deepEqual(
				new Set(after.rules.map(({ rule, ordinal }) => ({ rule, ordinal }))),
				new Set(desired.ruleset.entries),
			);
			assert.deepEqual(new Set(after.addresses), new Set(desired.addresses));
			assert.deepEqual(after.guard.guard ?? "none", desired.guard);
			assert.deepEqual(up(after, wanted).steps, []);
			for (const { vip } of wanted.services) assert(holds(after, vip.text));
			const own = after.rules.flatMap(({ rule }) => (signatureOf(rule) === undefined ? [] : [rule]));
			const lowered = wanted.services.flatMap((one) => lowerService(one, LOWERING));
			for (const rule of own) assert(lowered.some((one) => sameValue(one, rule)));
			for (const rule of lowered) assert(own.some((one) => sameValue(one, rule)));
		}),
	);
});

test("property: addresses that up has not added to lo stay unchanged, whatever is added or removed", () => {
	fc.assert(
		fc.property(arbitraryState, arbitraryWish, (state, wanted) => {
			const { held, found } = state.guard;
			const isOurs = ({ address: { text }, own }: LoopbackAddress): boolean =>
				own === true || (held.some((vip) => vip.text === text) && !found.some((vip) => vip.text === text));
			const ours = new Set(state.addresses.filter(isOurs).map(({ address: { text } }) => text));
			const theirs = state.addresses.filter(({ address: { text } }) => !ours.has(text));
			const { after } = up(state, wanted);
			for (const entry of theirs) assert(after.addresses.some((one) => sameValue(one, entry)));
			const { after: down } = up(after, wish([]));
			for (const entry of theirs) assert(down.addresses.some((one) => sameValue(one, entry)));
		}),
	);
});

test("property: after a stop at any step, the next up leads to the same services, and no rule lacks its VIP", () => {
	fc.assert(
		fc.property(arbitraryState, arbitraryWish, (state, wanted) => {
			const { steps, after } = up(state, wanted);
			let now = state;
			let ruled = !steps.some(({ kind }) => kind === "rules");
			for (const step of steps) {
				now = applyStep(now, step);
				ruled ||= step.kind === "rules";
				if (ruled) {
					for (const { rule } of now.rules) {
						if (signatureOf(rule) !== undefined) assert(holds(now, rule.target.daddr.text));
					}
				}
				const again = up(now, wanted);
				assert.deepEqual(
					new Set(again.after.rules.map(({ rule }) => rule)),
					new Set(after.rules.map(({ rule }) => rule)),
				);
				assert.deepEqual(new Set(again.after.addresses), new Set(after.addresses));
				assert.deepEqual(again.after.guard, after.guard);
			}
		}),
	);
});

test("property: foreign rules without a conflict are not touched", () => {
	fc.assert(
		fc.property(arbitraryState, arbitraryWish, (state, wanted) => {
			const { after } = up(state, wanted);
			const vips = wanted.services.map(({ vip }) => vip.text);
			for (const { rule, ordinal } of state.rules) {
				if (signatureOf(rule) !== undefined || vips.includes(rule.target.daddr.text)) continue;
				assert(after.rules.some((one) => one.ordinal === ordinal && sameValue(one.rule, rule)));
			}
		}),
	);
});
