import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "@l3dsr/packet";
import { arrivalInterfaces, type RealInterface } from "../../src/plan/arrival-interfaces.ts";

function address(text: string, scope = "global"): RealInterface["addresses"][number] {
	const parsed = parseAddress(text);
	assert.ok(parsed, text);
	return { address: parsed, scope };
}

const LO: RealInterface = { name: "lo", up: true, addresses: [address("127.0.0.1", "host")] };

function card(name: string, addresses: readonly string[], more: Partial<RealInterface> = {}): RealInterface {
	return { name, up: true, addresses: addresses.map((text) => address(text)), ...more };
}

function arrival(present: readonly RealInterface[], served: readonly string[] = []) {
	const { interfaces, passing } = arrivalInterfaces({}, [LO, ...present], {
		vips: new Set(["192.0.2.10"]),
		served: new Set(served),
	});
	return { names: interfaces.map(({ name }) => name), passing };
}

test("the interfaces named in the configuration are used unchanged", () => {
	const interfaces = [{ name: "bond", wildcard: true }];
	const given = { vips: new Set<string>(), served: new Set<string>() };
	assert.deepEqual(arrivalInterfaces({ interfaces }, [card("eth0", ["10.0.0.5"])], given), { interfaces });
});

test("every interface that may receive packets is served, with its own address or without", () => {
	const eth1 = card("eth1", ["fe80::1"]);
	assert.deepEqual(arrival([card("eth0", ["10.0.0.5"]), eth1]).names, ["eth0", "eth1"]);
	// The real address is on lo, and two uplinks without addresses route to it.
	assert.deepEqual(arrival([card("eth0", []), eth1]).names, ["eth0", "eth1"]);
	assert.deepEqual(arrival([card("eth0", []), { ...eth1, up: false }]).names, ["eth0"]);
});

test("an address of scope link counts; one of the loopback, a link-local one and a VIP do not", () => {
	const veth = { kind: "veth" };
	const scopeLink: RealInterface = { ...card("eth0", [], veth), addresses: [address("10.0.0.5", "link")] };
	assert.deepEqual(arrival([scopeLink, card("eth1", ["10.0.1.5"])]), {
		names: ["eth0", "eth1"],
		passing: undefined,
	});
	for (const other of ["169.254.1.1", "fe80::2", "192.0.2.10"]) {
		assert.equal(arrival([card("eth0", ["10.0.0.5"]), card("v", [other], veth)]).passing, "v", other);
	}
});

test("an interface of a container without an address counts as temporary, unless it is the only one", () => {
	assert.equal(arrival([card("eth0", ["10.0.0.5"]), card("cali1", [], { kind: "veth" })]).passing, "cali1");
	assert.equal(arrival([card("eth0", ["10.0.0.5"]), card("tap0", [], { kind: "tun" })]).passing, "tap0");
	assert.deepEqual(arrival([card("eth0", [], { kind: "veth" })]), { names: ["eth0"], passing: undefined });
});

test("ports of a bridge or bond, the second end of a veth, sinks, bare bridges and VLAN parents are left out", () => {
	const eth0 = card("eth0.7", ["10.0.0.5"], { kind: "vlan", linked: "eth0" });
	const others = [
		card("eth0", []),
		card("port", [], { kind: "veth", port: true }),
		card("end", [], { kind: "veth", linked: "eth9" }),
		card("dummy0", ["10.9.9.9"], { kind: "dummy" }),
		card("br-lan", [], { kind: "bridge" }),
		card("bré", ["10.0.3.1"]),
	];
	assert.deepEqual(arrival([...others, eth0]), { names: ["eth0.7"], passing: undefined });
});

test("a bridge that appears after the others were served is left out, until it is the only one left", () => {
	const docker0 = card("docker0", ["172.17.0.1"], { kind: "bridge" });
	const eth0 = card("eth0", ["10.0.0.5"]);
	assert.deepEqual(arrival([eth0, docker0]).names, ["eth0", "docker0"]);
	assert.deepEqual(arrival([eth0, docker0], ["eth0"]).names, ["eth0"]);
	assert.deepEqual(arrival([eth0, docker0], ["eth0", "docker0"]).names, ["eth0", "docker0"]);
	assert.deepEqual(arrival([{ ...eth0, port: true }, docker0], ["eth0"]).names, ["docker0"]);
});
