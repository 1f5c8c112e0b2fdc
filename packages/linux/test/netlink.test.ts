import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { failOnLeaks } from "../../../test/support/leak.ts";
import { enterNetns, ip } from "../../../test/support/netns.ts";
import { LinuxError } from "../src/error.ts";
import { ifIndexOf } from "../src/if-index.ts";
import {
	IFINFOMSG,
	interfaceByIndex,
	interfaceByName,
	listInterfaces,
	RTM_GETLINK,
	RTM_SETLINK,
} from "../src/interface.ts";
import { decodeFailure, Netlink, parseMessages } from "../src/netlink.ts";
import {
	attribute,
	decodeAttributes,
	nestedAttribute,
	textAttribute,
	textValue,
	u32Attribute,
	u32Value,
} from "../src/netlink-attribute.ts";

enterNetns();
failOnLeaks();

test("encodes attributes in the kernel's layout and decodes them", () => {
	const bytes = Buffer.concat([
		attribute(3, textValue("lo")),
		nestedAttribute(43, attribute(1, u32Value(-1)), attribute(3, u32Value(2))),
	]);
	assert.equal(bytes.toString("hex"), "070003006c6f00001400" + "2b8008000100ffffffff0800030002000000");
	const attributes = decodeAttributes(bytes);
	assert.equal(textAttribute(attributes, 3), "lo");
	const nested = decodeAttributes(attributes.get(43) ?? new Uint8Array());
	assert.equal(u32Attribute(nested, 1), 0xffff_ffff);
	assert.equal(u32Attribute(nested, 3), 2);
	assert.equal(u32Attribute(nested, 4), undefined);
});

test("reads any bytes as attributes and messages, or throws a typed error", () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
			for (const read of [
				() => decodeAttributes(bytes),
				() => parseMessages(bytes, "read"),
				() => decodeFailure({ type: 2, flags: 0x200, payload: bytes }, "read"),
			]) {
				try {
					read();
				} catch (error) {
					assert.ok(error instanceof LinuxError);
				}
			}
		}),
	);
});

test("distinguishes interfaces with an Ethernet header from those without", () => {
	ip("link add veth0 type veth peer name veth1");
	ip("link add bridge0 mtu 9000 type bridge");
	ip("tuntap add mode tun name tun0");
	ip("link set veth0 up");
	const facts = listInterfaces().map(({ name, type, ethernet, loopback, kind }) => [
		name,
		type,
		ethernet,
		loopback,
		kind,
	]);
	const expected = [
		["lo", 772, true, true, undefined],
		["bridge0", 1, true, false, "bridge"],
		["tun0", 65534, false, false, "tun"],
		["veth0", 1, true, false, "veth"],
		["veth1", 1, true, false, "veth"],
	];
	for (const row of expected) {
		assert.deepEqual(
			facts.find(([name]) => name === row[0]),
			row,
		);
	}
	const veth0 = interfaceByName("veth0");
	assert.equal(veth0.up, true);
	assert.deepEqual(interfaceByIndex(veth0.index), veth0);
	assert.equal(interfaceByName("bridge0").mtu, 9000);
});

test("finds an interface whose name has the maximum length", () => {
	ip("link add abcdefghijklmno type ifb");
	assert.equal(interfaceByName("abcdefghijklmno").name, "abcdefghijklmno");
});

test("names the missing interface in the error", () => {
	assert.throws(() => interfaceByName("eth9"), {
		code: "SYSCALL",
		message: "look up interface eth9: ENODEV (there is no such interface)",
	});
	assert.throws(() => interfaceByIndex(ifIndexOf(4711)), {
		message: /^look up interface number 4711: ENODEV/,
	});
	assert.throws(() => interfaceByName("a".repeat(128)), { message: /not a name/ });
	assert.throws(() => interfaceByName(""), { message: /not a name/ });
});

test("returns the kernel's own explanation of a refusal", () => {
	using netlink = new Netlink();
	const { index } = interfaceByName("lo");
	// IFLA_XDP with a descriptor that is not a program, in two modes at once.
	const xdp = nestedAttribute(43, attribute(1, u32Value(0)), attribute(3, u32Value(2 | 4)));
	const payload = Buffer.concat([IFINFOMSG.encode({ index }), xdp]);
	assert.throws(() => netlink.change({ type: RTM_SETLINK, payload, doing: "attach x to lo" }), {
		message: /^attach x to lo: E[A-Z]+/,
	});
	// The attribute is too short for its type, so the kernel's policy refuses it with a message.
	const short = Buffer.concat([IFINFOMSG.encode({ index }), attribute(4, Uint8Array.of(1, 2))]);
	assert.throws(() => netlink.change({ type: RTM_SETLINK, payload: short, doing: "set mtu of lo" }), {
		message: /^set mtu of lo: (ERANGE|EINVAL): Attribute failed policy validation$/,
	});
	const lo = netlink.get({ type: RTM_GETLINK, payload: IFINFOMSG.encode({ index }), doing: "look up lo" });
	assert.equal(IFINFOMSG.decode(lo.payload).index, index);
});

test("lists more interfaces than fit one datagram", () => {
	for (let n = 0; n < 60; n++) ip(`link add many${n} type ifb`);
	const names = listInterfaces().map(({ name }) => name);
	assert.equal(names.filter((name) => name.startsWith("many")).length, 60);
	assert.equal(new Set(names).size, names.length);
});
