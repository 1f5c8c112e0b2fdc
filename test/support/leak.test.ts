import assert from "node:assert/strict";
import { closeSync } from "node:fs";
import { test } from "node:test";
import { check, libcFunction } from "@l3dsr/linux";
import { failOnLeaks, ownedDescriptors } from "./leak.ts";

failOnLeaks();

const socket = libcFunction<[domain: number, type: number, protocol: number]>(
	"int socket(int domain, int type, int protocol)",
);

test("a netlink socket counts as open until it is closed", () => {
	const fd = check(socket(16, 3, 0), "open a netlink socket");
	assert.deepEqual(ownedDescriptors(), [`${fd} AF_NETLINK`]);
	closeSync(fd);
	assert.deepEqual(ownedDescriptors(), []);
});
