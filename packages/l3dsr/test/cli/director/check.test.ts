/**
 * `l3dsr check` on a director: what it reads from the kernel. Each check by itself:
 * ../../balance/checks.test.ts.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns, ip } from "../../../../../test/support/netns.ts";
import { CONFIG, FLEET, Stage } from "./stage.ts";

enterNetns();
failOnLeaks();

const sysctl = (name: string, value: number) => writeFileSync(`/proc/sys/net/${name}`, String(value));

test("check reads routes, MTU, forwarding, filters and addresses of the director's host", async () => {
	using stage = new Stage();
	ip("link set lo up");
	stage.write("l3dsr.yaml", CONFIG.replace("open-checksums: accept", "hook: tc"));
	stage.write("fleet.yaml", FLEET.replace("dscp: 7", "dscp: 7\n    echo: server"));
	sysctl("ipv4/conf/dir0/forwarding", 1);
	sysctl("ipv6/conf/all/forwarding", 1);
	sysctl("ipv4/conf/all/send_redirects", 0);
	sysctl("ipv4/conf/dir0/send_redirects", 0);
	const fit = await stage.l3dsr("check");
	assert.deepEqual(fit, {
		exitCode: 0,
		stdout: `note[drift]: the director does not run\nremedy: l3dsr diff shows what up would change; l3dsr up applies it\n${stage.config}: a director for 1 VIP; 0 errors, 0 warnings, 1 note\n`,
		stderr: "",
	});

	sysctl("ipv4/conf/dir0/forwarding", 0);
	sysctl("ipv6/conf/all/forwarding", 0);
	sysctl("ipv4/conf/all/send_redirects", 1);
	sysctl("ipv4/conf/dir0/rp_filter", 1);
	ip("address add 192.0.2.10/32 dev lo");
	ip("route del 2001:db8:1::/64 via 2001:db8:9::254");
	ip("route replace 10.1.0.0/24 via 10.9.0.254 mtu 1400");
	const { exitCode, stdout } = await stage.l3dsr("check", "--json");
	assert.equal(exitCode, 1);
	const findings: { check: string; severity: string }[] = JSON.parse(stdout).findings;
	assert.deepEqual(
		findings.map(({ check, severity }) => `${severity} ${check}`),
		[
			"error routes",
			"error mtu",
			"error forwarding",
			"error forwarding",
			"warning vip-here",
			"warning reverse-path",
			"warning redirects",
			"note drift",
		],
	);
});

test("check explains why up would refuse the director", async () => {
	using stage = new Stage();
	stage.write("l3dsr.yaml", CONFIG.replace("dir0", "eth9"));
	const { exitCode, stdout } = await stage.l3dsr("check");
	assert.equal(exitCode, 1);
	assert.match(
		stdout,
		/^error\[director\]: up will refuse to attach the director to eth9: this host has no such interface\nremedy: interfaces here are dir0, wire0$/m,
	);
});

test("check warns of a real server that is held here and missing from the fleet", async () => {
	using stage = new Stage();
	await stage.l3dsr("drain", "a3");
	stage.write("fleet.yaml", FLEET.replace(/.*a3.*\n/, ""));
	assert.match((await stage.l3dsr("check")).stdout, /^warning\[held\]: front\/a3 is drained on this host/m);
});
