/** From a fleet to the requests of its checks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dscp, parseAddress, portOf } from "@l3dsr/packet";
import { checkTargets } from "../../../src/balance/checks/targets.ts";
import type { Check, Fleet, FleetService, Real } from "../../../src/model/fleet.ts";

const TIMING = { intervalMs: 100, timeoutMs: 80, fall: 3, rise: 2 } as const;

function address(text: string) {
	const found = parseAddress(text);
	assert.ok(found !== undefined);
	return found;
}

function real(name: string, addresses: string[], state: Real["state"] = "enabled"): Real {
	return { name, addresses: addresses.map(address), weight: 1, state };
}

const BOTH = real("a1", ["10.1.0.11", "2001:db8:1::11"]);

function service(port: number | "any", protocols: FleetService["protocols"], pool = "front"): FleetService {
	return { port: port === "any" ? "any" : portOf(port), protocols, pool, affinity: "flow" };
}

function fleetOf(check: Check | undefined, services: FleetService[], reals = [BOTH]): Fleet {
	return {
		vips: [
			{
				name: "web",
				addresses: [address("192.0.2.10"), address("2001:db8::10")],
				dscp: { ipv4: dscp(7), ipv6: dscp(9) },
				services,
				echo: "kernel",
			},
		],
		pools: [{ name: "front", reals, drainMs: 1000, floor: 0.5, ...(check === undefined ? {} : { check }) }],
	};
}

const asked = (fleet: Fleet) =>
	checkTargets(fleet).map(
		({ vip, address: to, dscp: code, port, services }) =>
			`${vip.text} ${code} ${to.text} ${port ?? "-"} for ${services.map((one) => `${one.protocol}/${one.port}`)}`,
	);

test("each family is checked at its own address, with its own code, at the service's port", () => {
	assert.deepEqual(asked(fleetOf({ ...TIMING, type: "tcp" }, [service(443, ["tcp", "udp"])])), [
		"192.0.2.10 7 10.1.0.11 443 for 6/443,17/443",
		"2001:db8::10 9 2001:db8:1::11 443 for 6/443,17/443",
	]);
});

test("services that are checked at one port share the request", () => {
	const fleet = fleetOf({ ...TIMING, type: "tcp", port: portOf(80) }, [
		service(443, ["tcp"]),
		service("any", ["udp"]),
	]);
	assert.deepEqual(asked(fleet), [
		"192.0.2.10 7 10.1.0.11 80 for 6/443,17/0",
		"2001:db8::10 9 2001:db8:1::11 80 for 6/443,17/0",
	]);
});

test("without a port of the check, each service is checked at its own; one echo serves all", () => {
	const services = [service(80, ["tcp"]), service(443, ["tcp"])];
	assert.equal(asked(fleetOf({ ...TIMING, type: "tcp" }, services)).length, 4);
	assert.deepEqual(asked(fleetOf({ ...TIMING, type: "icmp" }, services)), [
		"192.0.2.10 7 10.1.0.11 - for 6/80,6/443",
		"2001:db8::10 9 2001:db8:1::11 - for 6/80,6/443",
	]);
});

test("disabled real servers, other families and pools without a check are not checked; draining ones are", () => {
	const reals = [
		real("off", ["10.1.0.1"], "disabled"),
		real("leaving", ["10.1.0.2"], "drain"),
		real("only6", ["2001:db8:1::3"]),
	];
	assert.deepEqual(asked(fleetOf({ ...TIMING, type: "tcp" }, [service(80, ["tcp"])], reals)), [
		"192.0.2.10 7 10.1.0.2 80 for 6/80",
		"2001:db8::10 9 2001:db8:1::3 80 for 6/80",
	]);
	assert.deepEqual(asked(fleetOf(undefined, [service(80, ["tcp"])])), []);
});

test("a request is the same if only its timing changes, and another if path, port or code change", () => {
	const http = { ...TIMING, type: "http", path: "/", expect: [200] } as const;
	const keys = (check: Check) => checkTargets(fleetOf(check, [service(80, ["tcp"])])).map(({ key }) => key);
	assert.deepEqual(keys(http), keys({ ...http, intervalMs: 200, fall: 1 }));
	assert.notDeepEqual(keys(http), keys({ ...http, path: "/other" }));
	assert.notDeepEqual(keys(http), keys({ ...http, port: portOf(81) }));
});
