/** Records for the tests of `top`. */
import type { DirectedServiceRecord, RealRecord } from "../../../src/inspect/status/director-record.ts";
import type { ServiceRow } from "../../../src/inspect/status/service-rows.ts";
import type { StatusRecord } from "../../../src/inspect/status/status.ts";

type RatedService = StatusRecord["services"][number];

export function service(changes: Partial<RatedService> & Pick<ServiceRow, "name">): RatedService {
	return {
		type: "l3dsr",
		vip: "192.0.2.10",
		selects: "DSCP 7 (TOS 0x1c), tcp 80",
		selection: [],
		state: "up",
		loopback: "lo:1",
		rules: { present: 1, wanted: 1 },
		datapaths: ["ebpf"],
		packets: 1n,
		bytes: 1n,
		rate: { packets: 1000, bytes: 1_000_000 },
		...changes,
	};
}

export function status(changes: Partial<StatusRecord> = {}): StatusRecord {
	return {
		configuration: "/etc/l3dsr/l3dsr.yaml",
		datapath: { running: ["ebpf"], hooks: [], why: "auto" },
		services: [service({ name: "web" })],
		drift: [],
		warnings: [],
		keeping: { agent: null, hold: null },
		otherRules: 0,
		...changes,
	};
}

export function real(changes: Partial<RealRecord> & Pick<RealRecord, "name">): RealRecord {
	return {
		address: "10.1.0.11",
		configured: "enabled",
		state: "up",
		weight: 10,
		slots: 32_768,
		share: 0.5,
		hop: { state: "resolved" },
		packets: 1n,
		bytes: 1n,
		rate: { packets: 500, bytes: 500_000 },
		...changes,
	};
}

export function directed(changes: Partial<DirectedServiceRecord> = {}): DirectedServiceRecord {
	return {
		name: "shop",
		vip: "192.0.2.20",
		protocol: "tcp",
		port: 443,
		dscp: 9,
		pool: "front",
		affinity: "flow",
		state: "up",
		transition: null,
		packets: 1n,
		bytes: 1n,
		rate: { packets: 1000, bytes: 1_000_000 },
		reals: [
			real({ name: "a1" }),
			real({ name: "a2", address: "10.1.0.12", state: "down", share: 0, reason: "no answer within 80 ms" }),
		],
		...changes,
	};
}

export function director(): StatusRecord {
	return status({
		services: [],
		director: {
			programs: [{ interface: "eth0", hook: "xdp", id: 7 }],
			forward: "resolved",
			flows: "transition",
			services: [directed()],
			reasons: [],
		},
	});
}
