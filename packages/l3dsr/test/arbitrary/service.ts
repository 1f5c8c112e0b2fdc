/** Random services that a configuration may have. */
import { addressBits, addressFromBytes, dscp, type Family, PROTOCOL_NUMBER, prefixOf } from "@l3dsr/packet";
import fc from "fast-check";
import { PORT_MODULES } from "../../src/model/rule.ts";
import type { Selection, Service } from "../../src/model/service.ts";
import { arbitraryPort } from "./rule.ts";

const PORT_NUMBERS = PORT_MODULES.map((module) => PROTOCOL_NUMBER[module]);

function arbitraryVip(family: Family): fc.Arbitrary<Service["vip"]> {
	const rest = fc.uint8Array({ minLength: 16, maxLength: 16 });
	return rest.map((bytes) =>
		family === "ipv4"
			? addressFromBytes([10 + ((bytes[0] ?? 0) % 100), ...bytes.subarray(1, 4)])
			: addressFromBytes([0x20, 0x01, 0x0d, 0xb8, ...bytes.subarray(4)]),
	);
}

const some = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
	fc.option(value, { nil: undefined, freq: 2 });

const arbitraryPorts = fc
	.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 60000 }), fc.constantFrom(0, 0, 1, 500)), {
		minLength: 1,
		maxLength: 20,
		selector: ([first]) => first,
	})
	.map((all) => all.map(([first, more]) => ({ first, last: first + more })));

const arbitraryInterfaces = fc
	.uniqueArray(
		fc.record({ name: fc.constantFrom("eth0", "eth1", "bond0", "no", "1e3"), wildcard: fc.boolean() }),
		{ minLength: 1, maxLength: 3, selector: ({ name }) => name },
	)
	.map((all) => all.map(({ name, wildcard }) => ({ name, wildcard })));

const arbitraryWord = fc.tuple(fc.nat(0xffff), fc.nat(0xffff)).map(([a, b]) => a * 0x10000 + b);

const arbitraryMark = fc
	.tuple(
		arbitraryWord,
		fc.oneof(
			fc.constant(0xffffffff),
			arbitraryWord.map((mask) => (mask | 1) >>> 0),
		),
	)
	.map(([value, mask]) => ({ value: (value & mask) >>> 0, mask }));

/** With DSCP, mark, interface or real address, and their other fields; `name` is the VIP's text. */
export const arbitraryService: fc.Arbitrary<Service> = fc
	.constantFrom<Family>("ipv4", "ipv6")
	.chain((family) =>
		fc.record({
			vip: arbitraryVip(family),
			code: some(fc.nat(63).map(dscp)),
			mark: some(arbitraryMark),
			interfaces: some(arbitraryInterfaces),
			real: some(
				fc
					.tuple(arbitraryVip(family), fc.integer({ min: 1, max: addressBits(family) }))
					.map(([address, length]) => prefixOf(address, length)),
			),
			withPorts: some(arbitraryPorts),
			protocols: some(fc.uniqueArray(fc.constantFrom(...PORT_NUMBERS), { minLength: 1, maxLength: 3 })),
			setPort: some(fc.tuple(arbitraryPort, arbitraryPort)),
			clearDscp: fc.boolean(),
		}),
	)
	.filter(({ code, mark, interfaces, real }) =>
		[code, mark, interfaces, real].some((one) => one !== undefined),
	)
	.map(({ vip, code, mark, interfaces, real, withPorts, protocols, setPort, clearDscp }): Service => {
		// A port is set for one port of TCP and UDP.
		const [port, newPort] = setPort ?? [];
		const ports = port === undefined ? withPorts : [{ first: port, last: port }];
		const portProtocols =
			(newPort === undefined ? protocols : undefined) ?? (ports === undefined ? undefined : [6, 17]);
		const selection: Selection = {
			...(code === undefined ? {} : { dscp: code }),
			...(mark === undefined ? {} : { mark }),
			...(interfaces === undefined ? {} : { interfaces }),
			...(real === undefined ? {} : { real }),
			...(portProtocols === undefined ? {} : { protocols: portProtocols }),
			...(ports === undefined ? {} : { ports }),
		};
		return {
			name: vip.text,
			vip,
			selection,
			clearDscp,
			...(newPort === undefined ? {} : { setPort: newPort }),
		};
	});
