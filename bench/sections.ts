/** Turns measurements into sections: their tables and bars. */
import { type AgentEffort, type AgentFigures, COST, FAULT, measureAgent } from "./agent.ts";
import { COMMAND, measureCommands, RESTORED, SERVICES } from "./commands.ts";
import {
	CONTROL,
	DIRECTING,
	type DirectorEffort,
	measureControl,
	measureDirecting,
	measureWaysOut,
	vipsName,
	WAY_OUT,
} from "./director.ts";
import {
	difference,
	type Effort,
	paired,
	ratio,
	type Series,
	type Spread,
	seriesOf,
	spreadOf,
} from "./measure.ts";
import { measureProving, PACKETS, PROVING, TARGETS } from "./proving.ts";
import { measureReceivePath, PATHS, type Path, type ReceiveEffort } from "./receive-path.ts";
import { type Bar, bar, type Table } from "./report.ts";
import {
	INTERFACE_COMMANDS,
	measureInterfaces,
	measureRules,
	RULE_COMMANDS,
	type Scaling,
} from "./scaling.ts";
import { measureTestRun, SHAPES, type TestRunEffort, type TestRunFigure, VIP_COUNTS } from "./test-run.ts";
import { measureThroughput, type ThroughputEffort } from "./throughput.ts";

export interface Section {
	readonly table: Table;
	readonly bars: readonly Bar[];
}

export async function testRunSection(effort: TestRunEffort): Promise<Section> {
	const figures = await measureTestRun(effort);
	const rows = (["tc", "xdp"] as const).flatMap((hook) =>
		SHAPES.filter(({ name }) => figures.some((one) => one.hook === hook && one.shape === name)).map(
			({ name }) => ({
				name: `${hook === "tc" ? "tc" : "XDP"}: ${name}`,
				cells: VIP_COUNTS.map((vips) =>
					figures
						.filter((one) => one.hook === hook && one.shape === name && one.vips === vips)
						.map(({ net }) => spreadOf(net))
						.at(0),
				),
			}),
		),
	);
	const worst = (what: (figure: TestRunFigure) => boolean): Series => {
		const all = figures.filter(what).map(({ net }) => net);
		const [first] = all.sort((a, b) => spreadOf(b).median - spreadOf(a).median);
		return first ?? [];
	};
	return {
		table: {
			title: "The program by itself",
			note: "Nanoseconds per packet in the kernel's test-run (BPF_PROG_TEST_RUN), net of a program that does nothing. Columns: how many VIPs of each family the program serves.",
			columns: VIP_COUNTS.map((vips) => ({ name: String(vips), digits: 1 })),
			rows,
		},
		bars: [
			bar(
				"test-run, the slowest shape: a packet that matches nothing",
				worst(({ match }) => !match),
				8,
				1,
				"ns",
			),
			bar(
				"test-run, the slowest shape: a match at tc",
				worst(({ hook, match, summed }) => match && !summed && hook === "tc"),
				16,
				1,
				"ns",
			),
			bar(
				"test-run, the slowest shape: a match at tc that the card has summed",
				worst(({ hook, summed }) => summed && hook === "tc"),
				26,
				1,
				"ns",
			),
			bar(
				"test-run, the slowest shape: a match at XDP",
				worst(({ hook, match }) => match && hook === "xdp"),
				13,
				1,
				"ns",
			),
		],
	};
}

export interface DirectingEffort {
	readonly testRun: DirectorEffort;
	readonly live: Omit<DirectorEffort, "vips" | "flowBits">;
}

/**
 * Packets alone, and across a veth. Ratios are relative to the real server's program, and to the bounced
 * frame.
 */
export async function directorSections(effort: DirectingEffort): Promise<readonly Section[]> {
	const directing = await measureDirecting(effort.testRun);
	const realServer = seriesOf(directing, DIRECTING.realServer);
	const ways = await measureWaysOut(effort.live);
	const bounce = seriesOf(ways, WAY_OUT.bounce);
	const net = (name: string) => difference(seriesOf(ways, name), bounce);
	const [few] = effort.testRun.vips;
	const most = effort.testRun.vips.at(-1);
	if (few === undefined || most === undefined) throw new RangeError("no numbers of VIPs to compare");
	return [
		{
			table: {
				title: "Directing",
				note: "Nanoseconds per packet in the kernel's test-run at XDP, net of an empty program behind the same source, which writes the headers anew for each packet. Beside them the ratio to the real server's program in the same run.",
				columns: [
					{ name: "ns", digits: 1 },
					{ name: "× real server", digits: 2 },
				],
				rows: [...directing].map(([name, series]) => ({
					name,
					cells: [spreadOf(series), spreadOf(ratio(series, realServer))],
				})),
			},
			bars: [
				bar(
					"test-run at the director: a packet that is for no VIP",
					seriesOf(directing, DIRECTING.other),
					8,
					1,
					"ns",
				),
				bar(
					`known flow, ${most} VIPs ÷ ${few} VIP`,
					ratio(seriesOf(directing, vipsName(most)), seriesOf(directing, vipsName(few))),
					1.05,
					2,
				),
			],
		},
		{
			table: {
				title: "Ways out of the director",
				note: "Nanoseconds per live frame into a veth with native XDP and out of it again, source included, on one CPU. Net of a frame that an empty program bounces.",
				columns: [
					{ name: "ns", digits: 0 },
					{ name: "net", digits: 0 },
				],
				rows: [...ways].map(([name, series]) => ({ name, cells: [spreadOf(series), spreadOf(net(name))] })),
			},
			bars: [
				bar(
					"next hop written by the control plane ÷ looked up by the program",
					ratio(net(WAY_OUT.resolved), net(WAY_OUT.fib)),
					0.5,
					2,
				),
			],
		},
	];
}

/**
 * The time of the control plane. It runs as one process on all CPUs, like an agent, whose compiler has its
 * own threads.
 */
export function changesSection(events: number): Section {
	const control = measureControl(events);
	return {
		table: {
			title: "Changes of the director",
			note: "Milliseconds. A death is one of a service with 1,000 real servers, and its recovery comes with the next one. The figure is from the check's result to the last store in the shared tables, with all that the agent does in between but its lock. A ring is made once for a pool, off the path of an event; the first one of a process takes longer.",
			columns: [
				{ name: "ms", digits: 2 },
				{ name: "p99", digits: 2 },
			],
			rows: [...control].map(([name, series]) => ({ name, cells: [spreadOf(series), p99(series)] })),
		},
		bars: [
			bar(CONTROL.ring, seriesOf(control, CONTROL.ring), 4, 1, "ms"),
			p99Bar(CONTROL.event, seriesOf(control, CONTROL.event), 2, 2),
		],
	};
}

/** Of milliseconds. */
function p99Bar(name: string, series: Series, atMost: number, digits: number): Bar {
	return { name: `${name} (p99)`, measured: p99(series), atMost, digits, unit: "ms" };
}

function p99(series: Series): Spread {
	const sorted = [...series].sort((a, b) => a - b);
	const value = sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN;
	return { median: value, min: value, max: value };
}

export async function receivePathSection(effort: ReceiveEffort): Promise<Section> {
	const measured = await measureReceivePath(effort);
	const of = (name: string) => seriesOf(measured, name);
	const added = ({ name, base }: Path): Series => (base === undefined ? [] : difference(of(name), of(base)));
	const addedOf = (name: string): Series => {
		const path = PATHS.find((one) => one.name === name);
		if (path === undefined) throw new RangeError(`no path ${name}`);
		return added(path);
	};
	const tcx = addedOf("ebpf at tcx, 1 VIP");
	return {
		table: {
			title: "The receive path",
			note: "Nanoseconds per packet, from the frame's arrival to its end behind PREROUTING and routing. Added: net of nothing at all, in the same round; `× nft` is that beside what `nft, 1 VIP` adds. Each way has a network namespace of its own. Where a table has 63 VIPs, packets carry its 63 DSCPs in turn, and so do those of the way that it is compared with. Services rewrite only what arrives for an address of this host.",
			columns: [
				{ name: "whole path", digits: 0 },
				{ name: "added", digits: 0 },
				{ name: "× nft", digits: 2 },
			],
			rows: PATHS.map((path) => ({
				name: path.name,
				cells: [
					spreadOf(of(path.name)),
					...(path.base === undefined
						? []
						: [spreadOf(added(path)), spreadOf(ratio(added(path), addedOf("nft, 1 VIP")))]),
				],
			})),
		},
		bars: [
			bar("added at tcx ÷ added by nft with one lookup", ratio(tcx, addedOf("nft, 1 VIP")), 0.12, 3),
			bar(
				"added at tcx ÷ added by 64 linear iptables rules",
				ratio(tcx, addedOf("iptables, 64 linear rules")),
				0.06,
				3,
			),
			bar(
				"added at tcx with 63 VIPs ÷ the same with 1 VIP",
				ratio(addedOf("ebpf at tcx, 63 VIPs"), tcx),
				1.1,
				2,
			),
			bar(
				"added at tcx when a watcher has gone ÷ the same never watched",
				ratio(addedOf("ebpf at tcx, 1 VIP, watched before"), tcx),
				1.05,
				2,
			),
		],
	};
}

export async function throughputSection(effort: ThroughputEffort): Promise<Section> {
	const families = ["ipv4", "ipv6"] as const;
	const measured: Map<string, Series>[] = [];
	for (const family of families) measured.push(await measureThroughput(effort, family));
	const names = [...(measured[0]?.keys() ?? [])];
	return {
		table: {
			title: "TCP through the lab",
			note: "iperf3 from the client over router and director to a VIP on a real server, every host on the same CPU: Gbit/s, and that beside no rewriting on the real server. One rule. Native XDP takes from veth interfaces the merging of packets, which real cards do not lose.",
			columns: [
				{ name: "IPv4, Gbit/s", digits: 2 },
				{ name: "× no rewriting", digits: 2 },
				{ name: "IPv6, Gbit/s", digits: 2 },
				{ name: "× no rewriting", digits: 2 },
			],
			rows: names.map((name) => ({
				name,
				cells: measured.flatMap((series) => [
					spreadOf(seriesOf(series, name)),
					spreadOf(ratio(seriesOf(series, name), seriesOf(series, "no rewriting"))),
				]),
			})),
		},
		bars: [],
	};
}

/** `bin`: the folder of l3dsr's commands. The figures of a size are those of a host with that many rules. */
export async function rulesSection(effort: Effort, bin: string, sizes: readonly number[]): Promise<Section> {
	const measured = await measureRules(effort, bin, sizes);
	const section = scalingSection(measured, sizes, Object.values(RULE_COMMANDS), {
		title: "How commands grow with rules",
		note: "Wall time of a cold process, to its end, in milliseconds. Columns: how many rules the chain has, on nft; each has a source prefix and a port of its own.",
		what: "rules",
	});
	const behind = measured.get(RESTORED)?.get(RULE_COMMANDS.append);
	if (behind === undefined) return section;
	const title = `iptables-daddr -A behind ${RESTORED} rules`;
	return {
		...section,
		bars: [
			bar(
				title,
				behind.map((ms) => ms / 1000),
				0.5,
				2,
				"s",
			),
			...section.bars,
		],
	};
}

export async function interfacesSection(
	effort: Effort,
	bin: string,
	sizes: readonly number[],
): Promise<Section> {
	const measured = await measureInterfaces(effort, bin, sizes);
	return scalingSection(measured, sizes, Object.values(INTERFACE_COMMANDS), {
		title: "How commands grow with interfaces",
		note: "Wall time of a cold process, to its end, in milliseconds. Columns: how many interfaces have a program of one service, at tcx.",
		what: "interfaces",
	});
}

/** The bar: the largest size costs at most in proportion to the one before it. */
function scalingSection(
	measured: Scaling,
	sizes: readonly number[],
	commands: readonly string[],
	{ title, note, what }: { readonly title: string; readonly note: string; readonly what: string },
): Section {
	const of = (size: number, command: string): Series => seriesOf(measured.get(size) ?? new Map(), command);
	const [before = 1, last = 1] = sizes.slice(-2);
	return {
		table: {
			title,
			note,
			columns: sizes.map((size) => ({ name: size.toLocaleString("en"), digits: 0 })),
			rows: commands.map((command) => ({
				name: command,
				cells: sizes.map((size) => spreadOf(of(size, command))),
			})),
		},
		bars: commands.map((command) =>
			bar(
				`${command}, ${last} ${what} ÷ ${before}`,
				ratio(of(last, command), of(before, command)),
				last / before,
				1,
			),
		),
	};
}

/** `bin`: the folder of l3dsr's commands. */
export async function agentSections(
	effort: AgentEffort,
	bin: string,
	sizes: readonly number[],
): Promise<readonly Section[]> {
	const measured = await measureAgent(effort, bin, sizes);
	const spreads = (part: keyof AgentFigures, name: string): (Spread | undefined)[] =>
		sizes.map((size) => {
			const series = measured.get(size)?.[part].get(name);
			return series === undefined ? undefined : spreadOf(series);
		});
	const most = sizes.at(-1) ?? 0;
	const ofMost = (part: keyof AgentFigures, name: string): Series =>
		seriesOf(measured.get(most)?.[part] ?? new Map(), name);
	const columns = (digits: number) => sizes.map((size) => ({ name: size.toLocaleString("en"), digits }));
	return [
		{
			table: {
				title: "From a fault to the repaired host",
				note: `Milliseconds, beside l3dsr agent, from the fault until the last change of its repair, as its record tells (a look at the whole host follows, and is not counted); the greatest of a cell is its p99. Columns: how many services the host has; they run in a program at tcx; above 63 they are told apart by ports, and 1,000 are too many for a program and run on nft, which has none to lose. An interface that is made again is one by ip(8), which takes its share of the time.`,
				columns: columns(0),
				rows: Object.values(FAULT).map((name) => ({ name, cells: spreads("repairs", name) })),
			},
			bars: Object.values(FAULT).flatMap((name) =>
				sizes.flatMap((size) => {
					const series = measured.get(size)?.repairs.get(name);
					if (series === undefined) return [];
					return [p99Bar(`${name}, ${size.toLocaleString("en")} services`, series, 200, 0)];
				}),
			),
		},
		{
			table: {
				title: "What the agent costs",
				note: `While nothing happens it is watched for ${effort.idleS} s, of which one has the check of the whole host that comes once a minute. Scrapes are of /metrics. Memory is that after the scrapes.`,
				columns: columns(2),
				rows: Object.values(COST).map((name) => ({ name, cells: spreads("costs", name) })),
			},
			bars: [
				bar(
					`agent with ${most.toLocaleString("en")} services, nothing happens`,
					ofMost("costs", COST.idle),
					0.2,
					2,
					"% of a CPU",
				),
			],
		},
	];
}

export interface CommandEffort {
	readonly rounds: number;
	readonly samples: number;
}

/** `bin`: the folder of l3dsr's commands. */
export async function commandSection(effort: CommandEffort, bin: string): Promise<Section> {
	const measured = await measureCommands(effort, bin);
	const of = (name: string) => seriesOf(measured, name);
	const node = of(COMMAND.node);
	const yardstick = paired(of(COMMAND.iptables), node, (iptables, empty) => 1.5 * iptables + empty);
	const seconds = (name: string) => of(name).map((ms) => ms / 1000);
	return {
		table: {
			title: "Commands",
			note: `Wall time of a cold process, to its end, on all CPUs: milliseconds, and that beside a Node process that does nothing. dsrctl, l3dsr up and status with ${SERVICES} IPv4 and ${SERVICES} IPv6 services. Where the time goes: design/start-up.md.`,
			columns: [
				{ name: "ms", digits: 0 },
				{ name: "× Node", digits: 2 },
			],
			rows: [...measured].map(([name, series]) => ({
				name,
				cells: [spreadOf(series), spreadOf(ratio(series, node))],
			})),
		},
		bars: [
			bar(
				"iptables-daddr -A (nft) ÷ (1.5 × iptables -A + an empty Node process)",
				ratio(of(COMMAND.everywhere), yardstick),
				1,
				2,
			),
			bar(
				"iptables-daddr -A -i (ebpf) ÷ (1.5 × iptables -A + an empty Node process)",
				ratio(of(COMMAND.interface), yardstick),
				1,
				2,
			),
			bar(`${COMMAND.everywhere} ÷ an empty Node process`, ratio(of(COMMAND.everywhere), node), 1.7, 2),
			bar(`${COMMAND.interface} ÷ an empty Node process`, ratio(of(COMMAND.interface), node), 2.2, 2),
			bar(COMMAND.restore, seconds(COMMAND.restore), 0.5, 2, "s"),
			bar(
				`${COMMAND.restore} ÷ iptables-restore`,
				ratio(of(COMMAND.restore), of(COMMAND.iptablesRestore)),
				10,
				1,
			),
			bar("dsrctl start, 60 + 60 services", seconds(COMMAND.start), 0.5, 2, "s"),
			bar("dsrctl stop, 60 + 60 services", seconds(COMMAND.stop), 0.5, 2, "s"),
			bar("dsrctl status, 60 + 60 services", seconds(COMMAND.status), 0.25, 2, "s"),
			bar("dsrctl check, 60 + 60 services", seconds(COMMAND.check), 0.25, 2, "s"),
			bar("l3dsr up, 60 + 60 services, nothing to do", seconds(COMMAND.up), 0.25, 2, "s"),
			bar("l3dsr up, 60 + 60 services in YAML, nothing to do", seconds(COMMAND.upYaml), 0.25, 2, "s"),
			bar("l3dsr up, nothing to do ÷ an empty Node process", ratio(of(COMMAND.up), node), 3.5, 2),
			bar("l3dsr up, YAML, nothing to do ÷ an empty Node process", ratio(of(COMMAND.upYaml), node), 3.5, 2),
			bar("l3dsr --version ÷ an empty Node process", ratio(of(COMMAND.version), node), 1.3, 2),
		],
	};
}

/** `bin`: the folder of l3dsr's commands. */
export async function provingSection(effort: CommandEffort, bin: string): Promise<Section> {
	const measured = await measureProving(effort, bin);
	const seconds = (name: string) => seriesOf(measured, name).map((ms) => ms / 1000);
	return {
		table: {
			title: "Tracing and probing",
			note: "Wall time of a cold process, to its end, on all CPUs: milliseconds. The capture holds TCP and UDP of both families and every DSCP, goes through 126 rules, each packet through the reference and through a copy of what runs, and is written again. The probes are TCP, of both families, to one server; every VIP must answer.",
			columns: [{ name: "ms", digits: 0 }],
			rows: [...measured].map(([name, series]) => ({ name, cells: [spreadOf(series)] })),
		},
		bars: [
			bar(`trace of ${PACKETS} packets through a program`, seconds(PROVING.program), 2, 2, "s"),
			bar(`trace of ${PACKETS} packets through rules on nft`, seconds(PROVING.rules), 2, 2, "s"),
			bar(`probe of ${TARGETS} targets`, seconds(PROVING.probe), 5, 2, "s"),
		],
	};
}
