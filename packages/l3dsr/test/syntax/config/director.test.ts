/** The parsed form of `director:` in l3dsr.yaml. Refused forms: ../../sources/director-faults.test.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "../../../src/syntax/config/parse-config.ts";

const directorOf = (text: string) => parseConfig(text, "/etc/l3dsr/l3dsr.yaml").configuration.director;

test("a director needs only its fleet and its interfaces", () => {
	assert.deepEqual(directorOf("fleet: fleet.yaml\ndirector: { interfaces: eth0 }\n"), {
		settings: {
			interfaces: ["eth0"],
			hook: "xdp",
			forward: "resolved",
			flows: "transition",
			bleach: false,
			openChecksums: "refuse",
		},
		state: "/var/lib/l3dsr/l3dsr.state.json",
	});
	assert.equal(directorOf("fleet: fleet.yaml\n"), undefined);
});

test("every key of a director is read, and a relative path starts at the file", () => {
	const text = `
fleet: fleet.yaml
director:
  interfaces: [eth0, eth1]
  hook: xdp-generic
  forward: kernel
  flows: always
  vlan: 0x64
  bleach: true
  open-checksums: accept
  state: state/director.json
`;
	assert.deepEqual(directorOf(text), {
		settings: {
			interfaces: ["eth0", "eth1"],
			hook: "xdp-generic",
			forward: "kernel",
			flows: "always",
			vlan: 100,
			bleach: true,
			openChecksums: "accept",
		},
		state: "/etc/l3dsr/state/director.json",
	});
});

test("at tc the kernel routes", () => {
	const director = directorOf("fleet: fleet.yaml\ndirector: { interfaces: tun0, hook: tc }\n");
	assert.equal(director?.settings.forward, "kernel");
});
