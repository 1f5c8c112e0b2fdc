import assert from "node:assert/strict";
import { test } from "node:test";
import { dscp, parseAddress, portOf, prefixOf } from "@l3dsr/packet";
import fc from "fast-check";
import { lowerService, signatureOf } from "../../src/model/lower-service.ts";
import { findConflicts, hostPrefix, selectionsOverlap } from "../../src/model/selection.ts";
import type { Selection, Service } from "../../src/model/service.ts";

function address(text: string) {
	const parsed = parseAddress(text);
	assert(parsed !== undefined);
	return parsed;
}

function service(vip: string, selection?: Selection, options: Partial<Service> = {}): Service {
	return {
		name: vip,
		vip: address(vip),
		clearDscp: false,
		...(selection === undefined ? {} : { selection }),
		...options,
	};
}

const seven = { dscp: dscp(7) };

test("two VIPs of one family cannot share a DSCP, a VIP of each family can", () => {
	assert.deepEqual(findConflicts([service("192.0.2.1", seven), service("192.0.2.2", seven)]), [
		{ kind: "overlap", first: 0, second: 1 },
	]);
	assert.deepEqual(findConflicts([service("192.0.2.1", seven), service("2001:db8::1", seven)]), []);
});

test("one VIP may have several codes, and be listed twice under one", () => {
	const two = [service("192.0.2.1", seven), service("192.0.2.1", { dscp: dscp(8) })];
	assert.deepEqual(findConflicts([...two, ...two]), []);
});

test("L2DSR services conflict with nothing", () => {
	assert.deepEqual(
		findConflicts([service("192.0.2.1"), service("192.0.2.2"), service("192.0.2.3", seven)]),
		[],
	);
});

const separated: readonly (readonly [string, Selection, Selection])[] = [
	["port", { ports: [{ first: 80, last: 80 }] }, { ports: [{ first: 81, last: 90 }] }],
	["protocol", { protocols: [6] }, { protocols: [17] }],
	[
		"interface",
		{ interfaces: [{ name: "eth0", wildcard: false }] },
		{ interfaces: [{ name: "eth1", wildcard: false }] },
	],
	["real address", { real: hostPrefix(address("10.0.0.1")) }, { real: hostPrefix(address("10.0.0.2")) }],
	["mark", { mark: { value: 1, mask: 0xf } }, { mark: { value: 2, mask: 0xf } }],
];
for (const [what, a, b] of separated) {
	test(`one DSCP serves two VIPs that differ by ${what}, but not one of them and a VIP without it`, () => {
		const services = [service("192.0.2.1", { ...seven, ...a }), service("192.0.2.2", { ...seven, ...b })];
		assert.deepEqual(findConflicts(services), []);
		assert.deepEqual(
			findConflicts([...services, service("192.0.2.3", seven)]).map(({ first, second }) => [first, second]),
			[
				[0, 2],
				[1, 2],
			],
		);
	});
}

test("a wildcard interface overlaps with names that begin with it, and a prefix with addresses in it", () => {
	const eth = { interfaces: [{ name: "eth", wildcard: true }] };
	assert(selectionsOverlap(eth, { interfaces: [{ name: "eth3", wildcard: false }] }));
	assert(selectionsOverlap(eth, { interfaces: [{ name: "e", wildcard: true }] }));
	assert(!selectionsOverlap(eth, { interfaces: [{ name: "ens3", wildcard: false }] }));
	const net = { real: prefixOf(address("10.0.0.0"), 8) };
	assert(selectionsOverlap(net, { real: hostPrefix(address("10.1.2.3")) }));
	assert(!selectionsOverlap(net, { real: hostPrefix(address("11.1.2.3")) }));
});

test("marks overlap if some mark matches both, masks considered", () => {
	assert(selectionsOverlap({ mark: { value: 0x10, mask: 0xf0 } }, { mark: { value: 1, mask: 0x0f } }));
	assert(
		!selectionsOverlap(
			{ mark: { value: 0x80000000, mask: 0x80000000 } },
			{ mark: { value: 0, mask: 0xffffffff } },
		),
	);
});

test("a packet whose new port or cleared DSCP selects another service would be rewritten twice", () => {
	const ports = (port: number) => ({ ...seven, protocols: [6], ports: [{ first: port, last: port }] });
	const first = service("192.0.2.1", ports(80), { setPort: portOf(8080) });
	assert.deepEqual(findConflicts([service("192.0.2.2", ports(8080)), first]), [
		{ kind: "chain", first: 1, second: 0 },
	]);
	assert.deepEqual(findConflicts([first, service("192.0.2.2", ports(81))]), []);
	const cleared = service("192.0.2.1", seven, { clearDscp: true });
	assert.deepEqual(findConflicts([cleared, service("192.0.2.2", { dscp: dscp(0) })]), [
		{ kind: "chain", first: 0, second: 1 },
	]);
	const own = { dscp: dscp(0), real: hostPrefix(address("10.0.0.1")) };
	assert.deepEqual(findConflicts([cleared, service("192.0.2.2", own)]), []);
});

test("property: selections overlap exactly if a packet in a small world matches both", () => {
	const some = <T>(values: readonly T[]) => fc.option(fc.constantFrom(...values), { nil: undefined });
	const subset = (values: readonly number[]) =>
		fc.option(fc.subarray([...values], { minLength: 1 }), { nil: undefined });
	const marks = [0, 1, 2, 3].flatMap((mask) =>
		[0, 1, 2, 3].filter((v) => (v & mask) === v).map((value) => ({ value, mask })),
	);
	const selection = fc
		.record({ code: some([0, 1]), mark: some(marks), protocols: subset([6, 17]), ports: subset([1, 2, 3]) })
		.map(
			({ code, mark, protocols, ports }): Selection => ({
				...(code === undefined ? {} : { dscp: dscp(code) }),
				...(mark === undefined ? {} : { mark }),
				...(protocols === undefined ? {} : { protocols }),
				...(ports === undefined ? {} : { ports: ports.map((port) => ({ first: port, last: port })) }),
			}),
		);
	const world = [0, 1].flatMap((code) =>
		[0, 1, 2, 3].flatMap((mark) =>
			[6, 17].flatMap((protocol) => [1, 2, 3].map((port) => ({ code, mark, protocol, port }))),
		),
	);
	const meets = (s: Selection, p: (typeof world)[number]) =>
		(s.dscp === undefined || s.dscp === p.code) &&
		(s.mark === undefined || (p.mark & s.mark.mask) === s.mark.value) &&
		(s.protocols === undefined || s.protocols.includes(p.protocol)) &&
		(s.ports === undefined || s.ports.some((range) => range.first <= p.port && p.port <= range.last));
	fc.assert(
		fc.property(selection, selection, (a, b) => {
			assert.equal(
				selectionsOverlap(a, b),
				world.some((packet) => meets(a, packet) && meets(b, packet)),
			);
		}),
	);
});

test("a service becomes one signed rule for each interface and protocol", () => {
	const rules = lowerService(
		service(
			"192.0.2.1",
			{ ...seven, protocols: [6, 17], ports: [{ first: 80, last: 80 }] },
			{ name: "web", setPort: portOf(8080) },
		),
		{
			table: "raw",
			interfaces: [
				{ name: "eth0", wildcard: false },
				{ name: "eth1", wildcard: false },
			],
			localOnly: true,
			signed: true,
		},
	);
	assert.deepEqual(
		rules.map(({ header }) => [header.inInterface?.name, header.protocol?.number]),
		[
			["eth0", 6],
			["eth0", 17],
			["eth1", 6],
			["eth1", 17],
		],
	);
	for (const rule of rules) {
		assert.equal(signatureOf(rule), "web");
		assert.deepEqual(
			rule.matches.map(({ kind }) => kind),
			["dscp", "ports", "addrtype", "comment"],
		);
		assert.equal(rule.target.dport, 8080);
	}
});

test("an unsigned service becomes the rule that dsrctl has always made", () => {
	assert.deepEqual(
		lowerService(service("192.0.2.1", seven), { table: "mangle", localOnly: false, signed: false }),
		[
			{
				family: "ipv4",
				table: "mangle",
				chain: "PREROUTING",
				header: {},
				matches: [{ kind: "dscp", negated: false, dscp: 7 }],
				target: { daddr: address("192.0.2.1"), clearDscp: false },
			},
		],
	);
	assert.deepEqual(lowerService(service("192.0.2.1"), { table: "raw", localOnly: true, signed: true }), []);
});

test("more ports than one multiport match holds are split into several rules", () => {
	const ports = Array.from({ length: 20 }, (_, n) => ({ first: 1000 + 10 * n, last: 1001 + 10 * n }));
	const rules = lowerService(service("192.0.2.1", { ...seven, protocols: [6], ports }), {
		table: "raw",
		localOnly: true,
		signed: true,
	});
	const groups = rules.map((rule) =>
		rule.matches.flatMap((m) => (m.kind === "multiport" ? [m.ports] : [])).flat(),
	);
	assert.deepEqual(
		groups.map((group) => group.length),
		[7, 7, 6],
	);
	assert.deepEqual(groups.flat(), ports);
});
