import assert from "node:assert/strict";
import { hostname, release } from "node:os";
import { test } from "node:test";
import { hostName, isKernelAtLeast, kernelRelease } from "@l3dsr/linux";

test("returns the same kernel release and host name as uname", () => {
	assert.equal(kernelRelease(), release());
	assert.equal(hostName(), hostname());
});

test("compares a kernel by its major number, then by its minor number", () => {
	const [major = 0, minor = 0] = release().split(".").map(Number);
	assert.equal(isKernelAtLeast([major, minor]), true);
	assert.equal(isKernelAtLeast([major, minor + 1]), false);
	assert.equal(isKernelAtLeast([major + 1, 0]), false);
	assert.equal(isKernelAtLeast([major - 1, minor + 1]), true);
});
