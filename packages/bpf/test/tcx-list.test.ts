import assert from "node:assert/strict";
import { test } from "node:test";
import { ERRNO, interfaceByName, SyscallError } from "@l3dsr/linux";
import { enterNetns, ip } from "../../../test/support/netns.ts";
import { Program, TcxList, tcxIngress } from "../src/index.ts";
import { verdictSpec } from "./programs.ts";

enterNetns();
ip("link add in0 type veth peer name in1");
const in0 = interfaceByName("in0");

function detachAll(): void {
	for (const one of tcxIngress.query(in0)) tcxIngress.detach(in0, one);
}

test("reports every change of the list once", () => {
	using first = Program.load(verdictSpec("tc", -1));
	using second = Program.load(verdictSpec("tc", -1));
	const list = new TcxList("ingress", in0);
	assert.equal(list.changed(), false, "nothing was ever attached");
	tcxIngress.attach(in0, first);
	assert.equal(list.changed(), true);
	assert.equal(list.changed(), false);
	tcxIngress.attach(in0, second);
	assert.equal(list.changed(), true, "one more");
	const [one] = tcxIngress.query(in0);
	assert(one !== undefined);
	tcxIngress.detach(in0, one);
	tcxIngress.attach(in0, first, { position: "first" });
	assert.equal(list.changed(), true, "one that went and came back");
	detachAll();
	assert.equal(list.changed(), true, "none");
	assert.equal(list.changed(), false);
});

test("reports a list that was emptied and filled again as changed", () => {
	using first = Program.load(verdictSpec("tc", -1));
	using second = Program.load(verdictSpec("tc", -1));
	tcxIngress.attach(in0, first);
	const list = new TcxList("ingress", in0);
	detachAll();
	tcxIngress.attach(in0, second);
	assert.equal(list.changed(), true);
	detachAll();
});

test("throws if the interface is gone", () => {
	const list = new TcxList("ingress", in0);
	ip("link delete in0");
	assert.throws(
		() => list.changed(),
		(error) => error instanceof SyscallError && error.errno === ERRNO.ENODEV,
	);
});
