/** From any state of a host, one `up` leads to its configuration, on a real kernel. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { enterNetns, ip, run } from "../../../../../test/support/netns.ts";
import { runs } from "../../../../../test/support/property-runs.ts";
import { runCommand } from "../dsrctl/transcript.ts";
import { l3dsr } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-any-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");

ip("link add eth0 type veth peer name peer0");
ip("addr add 10.0.0.2/24 dev eth0");
ip("link set eth0 up");
ip("link set peer0 up");

const VIPS4 = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
const VIPS6 = ["2001:db8::1", "2001:db8::2"];
const VIPS = [...VIPS4, ...VIPS6];

/** A change by others, or by an earlier `up`: a command that the kernel may also refuse. */
const arbitraryAction = fc.oneof(
	fc
		.record({
			vip: fc.constantFrom(...VIPS4, "198.51.100.1"),
			length: fc.constantFrom(32, 32, 32, 31, 24),
			label: fc.constantFrom("lo", "lo:1", "lo:2", "lo:9", "lo:web"),
		})
		.map(({ vip, length, label }) => `ip address add ${vip}/${length} dev lo label ${label}`),
	fc
		.record({ vip: fc.constantFrom(...VIPS6, "2001:db8:9::9"), length: fc.constantFrom(128, 128, 127, 64) })
		.map(({ vip, length }) => `ip address add ${vip}/${length} dev lo nodad`),
	fc.constantFrom(...VIPS4).map((vip) => `ip address add ${vip}/24 dev eth0`),
	fc
		.record({
			vip: fc.constantFrom(...VIPS),
			code: fc.integer({ min: 1, max: 4 }),
			table: fc.constantFrom("raw", "mangle"),
			via: fc.constantFrom("", "", "-i eth0 "),
			local: fc.constantFrom("", "-m addrtype --dst-type LOCAL "),
			signature: fc.constantFrom("", "-m comment --comment l3dsr:one ", "-m comment --comment l3dsr:gone "),
		})
		.map(
			({ vip, code, table, via, local, signature }) =>
				`${vip.includes(":") ? "ip6tables" : "iptables"}-daddr -t ${table} -A PREROUTING ${via}-m dscp --dscp ${code} ${local}${signature}-j DADDR --set-daddr ${vip}`,
		),
	fc.constant("up earlier"),
	fc.constantFrom(
		"nft delete table arp l3dsr",
		"nft flush chain arp l3dsr output",
		"nft delete table ip l3dsr",
		"nft flush chain ip l3dsr raw_PREROUTING",
	),
);

const arbitraryServices = fc
	.uniqueArray(
		fc.record({
			vip: fc.constantFrom(...VIPS),
			code: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
			port: fc.constantFrom(undefined, 80, 81),
		}),
		{
			minLength: 0,
			maxLength: 4,
			// One code and one port stand for one VIP.
			selector: ({ vip, code }) => (code === undefined ? vip : `${vip.includes(":")} ${code}`),
		},
	)
	.map((services) =>
		services.map(({ vip, code, port }, index) =>
			code === undefined
				? `  - { vip: "${vip}", name: s${index} }\n`
				: `  - { vip: "${vip}", name: ${index === 0 ? "one" : `s${index}`}, dscp: ${code}${port === undefined ? "" : `, ports: ${port}`} }\n`,
		),
	);

function write(datapath: string, services: readonly string[]): void {
	const list = services.length === 0 ? " []\n" : `\n${services.join("")}`;
	writeFileSync(config, `datapath: ${datapath}\nservices:${list}`);
}

async function act(action: string, datapath: string, earlier: readonly string[]): Promise<void> {
	if (action === "up earlier") {
		write(datapath === "nft" ? "auto" : "nft", earlier);
		await l3dsr("up", "-c", config);
		return;
	}
	const [program = "", ...args] = action.split(" ");
	if (program.endsWith("-daddr")) await runCommand([program, ...args], {});
	else {
		try {
			run(program, ...args);
		} catch {
			// Refused: it exists already, or does not exist.
		}
	}
}

function cleanHost(): void {
	run("nft", "flush", "ruleset");
	ip("addr flush dev lo scope global");
	ip("addr flush dev eth0");
	ip("addr add 10.0.0.2/24 dev eth0");
	run("sh", "-c", "ip -6 addr add ::1/128 dev lo 2>/dev/null || true");
}

for (const datapath of ["auto", "nft"]) {
	test(`property: one up from any state of the host is enough, and down leaves nothing of it: ${datapath}`, async () => {
		await fc.assert(
			fc.asyncProperty(
				fc.array(arbitraryAction, { maxLength: 8 }),
				arbitraryServices,
				arbitraryServices,
				async (actions, services, earlier) => {
					await l3dsr("down");
					await runCommand(["dsrctl", "-f", "/dev/null", "-a", "stop"], {});
					cleanHost();
					for (const action of actions) await act(action, datapath, earlier);
					write(datapath, services);
					const up = await l3dsr("up", "-c", config);
					assert.deepEqual({ exitCode: up.exitCode, stderr: up.stderr }, { exitCode: 0, stderr: "" });
					const again = await l3dsr("up", "-c", config);
					assert.match(again.stdout, /^nothing to do: /);
					const { stdout } = await l3dsr("status", "--json", "-c", config);
					const rows = JSON.parse(stdout).services;
					assert.deepEqual(
						rows.map(({ state }: { state: string }) => state),
						services.map(() => "up"),
					);
					const down = await l3dsr("down");
					assert.deepEqual({ exitCode: down.exitCode, stderr: down.stderr }, { exitCode: 0, stderr: "" });
					assert.doesNotMatch((await l3dsr("show")).stdout, /l3dsr:/);
				},
			),
			{ includeErrorInReport: true, numRuns: runs(8) },
		);
	});
}
