import assert from "node:assert/strict";
import { test } from "node:test";
import { resolveSettings } from "../../src/sources/settings.ts";
import { parseConfig } from "../../src/syntax/config/parse-config.ts";

const ENVIRONMENT = {
	L3DSR_DATAPATH: "nft",
	L3DSR_HOOK: "xdp-generic",
	L3DSR_OPEN_CHECKSUMS: "accept",
};

function settings(text: string, env: Readonly<Record<string, string>>) {
	return resolveSettings(parseConfig(text, "l3dsr.yaml").given, env, { hook: "tc" });
}

test("a setting in the file is used, even if it equals the default", () => {
	assert.deepEqual(settings("datapath: auto\nhook: tc\nopen-checksums: refuse\n", ENVIRONMENT), {
		datapath: "auto",
		hook: "tc",
		openChecksums: "refuse",
	});
});

test("settings missing from the file come from the environment, key by key", () => {
	assert.deepEqual(settings("hook: xdp\n", ENVIRONMENT), {
		datapath: "nft",
		hook: "xdp",
		openChecksums: "accept",
	});
});

test("settings missing from both are the default, and an empty variable sets nothing", () => {
	const standard = { datapath: "auto", hook: "tc", openChecksums: "refuse" };
	assert.deepEqual(settings("services: []\n", {}), standard);
	assert.deepEqual(settings("services: []\n", { L3DSR_HOOK: "", L3DSR_DATAPATH: "" }), standard);
	assert.equal(resolveSettings({}, {}).hook, "auto");
});

test("a variable with an unknown value is an error, unless the file has the key", () => {
	const env = { L3DSR_HOOK: "egress" };
	assert.throws(() => settings("services: []\n", env), {
		code: "USAGE",
		message:
			'read the environment: L3DSR_HOOK is "egress", expected one of auto, tc, tcx, clsact, xdp, xdp-generic',
	});
	assert.equal(settings("hook: tc\n", env).hook, "tc");
});
