import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { enterNetns, ip, run } from "../../../../../test/support/netns.ts";
import { systemHost } from "../../../src/cli/dsrctl/host.ts";
import { runDsrctl } from "../../../src/cli/dsrctl.ts";
import { SYSTEM_HOST } from "../../../src/cli/services/host.ts";
import { up } from "../../../src/cli/up.ts";
import { captureContext } from "../run-command.ts";
import { Load, LoadingClient } from "./load.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-move-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
const dsrConfFolder = join(folder, "dsr.d");
mkdirSync(dsrConfFolder);

function write(datapath: string, yaml: string, conf: string): void {
	writeFileSync(config, `datapath: ${datapath}\nservices:${yaml === "" ? " []" : yaml}\n`);
	writeFileSync(join(dsrConfFolder, "services.conf"), conf);
}

async function l3dsrUp(): Promise<string> {
	const { context, printed } = captureContext("up");
	await up(context, { ...SYSTEM_HOST, dsrConfFolder }, { config, wait: 1 });
	return printed.stdout;
}

async function dsrctl(...argv: string[]): Promise<string> {
	const { context, printed } = captureContext("-d", dsrConfFolder, ...argv);
	const exitCode = await runDsrctl({ ...context, programName: "dsrctl" }, systemHost());
	assert.deepEqual({ exitCode, stderr: printed.stderr }, { exitCode: 0, stderr: "" }, printed.stdout);
	return printed.stdout;
}

const YAML = `
  - { vip: 192.0.2.10, name: web, dscp: 7 }
  - { vip: "2001:db8::10", name: web6, dscp: 7 }
  - { vip: 192.0.2.11, name: plain }`;
const CONF = "192.0.2.10 = 7\n2001:db8::10 = 7\n192.0.2.11\n";
const VIPS = [{ vip: "192.0.2.10", dscp: 7 }, { vip: "2001:db8::10", dscp: 7 }, { vip: "192.0.2.11" }];

for (const datapath of ["nft", "auto"]) {
	test(`a service moves from dsr.conf to l3dsr.yaml and back without losing a request: datapath ${datapath}`, async () => {
		using client = new LoadingClient(VIPS);
		write(datapath, "", CONF);
		assert.equal(await dsrctl("start"), "");
		using load = await Load.start(client, VIPS, { patienceMs: 2000 });

		for (let round = 0; round < 2; round++) {
			write(datapath, YAML, "");
			const there = await l3dsrUp();
			assert.match(there, /-D PREROUTING -m dscp --dscp 0x07 -j DADDR/);
			assert.doesNotMatch(there, /ip address/);
			assert.equal(there.includes("-A PREROUTING -i eth0 "), datapath === "auto");
			assert.equal(await dsrctl("start"), "");
			write(datapath, "", CONF);
			const back = await l3dsrUp();
			assert.match(back, /-A PREROUTING -m dscp --dscp 0x07 -j DADDR/);
			assert.doesNotMatch(back, /ip address/);
			assert.equal(await dsrctl("start"), "");
			assert.equal(await dsrctl("check"), "All DSRs started.\n");
		}

		const counts = await load.end();
		for (const { vip } of VIPS) {
			for (const protocol of ["udp", "tcp"]) {
				const count = counts[`${protocol} ${vip}`];
				assert.equal(count?.lost, 0, JSON.stringify(counts));
				assert(count.answered > 5, JSON.stringify(counts)); // the number depends on the speed of the commands and this machine
			}
		}
		assert.equal(client.unrewritten(), 0);
		const counters = client.netns.run("nstat", "-asz", "TcpExtTCPSynRetrans");
		assert.match(counters, /^TcpExtTCPSynRetrans +0 /m, "no SYN had to be sent again");
		await dsrctl("stop");
		ip("link del eth0");
		assert.doesNotMatch(run("nft", "list", "ruleset"), /l3dsr/);
		assert.equal(ip("-4 -o addr show to 192.0.2.0/24"), "");
	});
}
