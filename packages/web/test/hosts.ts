/** Hosts for the page: the samples of the records, enlarged, with counters that increase. */
import { readFileSync } from "node:fs";
import type {
	DirectedServiceRecord,
	EventsRecord,
	FindingsRecord,
	ServiceRecord,
	StatusRecord,
	TraceRecord,
} from "@l3dsr/records";

const sample = (name: string): unknown =>
	JSON.parse(readFileSync(new URL(`../../records/samples/${name}.json`, import.meta.url), "utf8"));

export const realServer = (): StatusRecord => sample("status-real-server") as StatusRecord;
export const director = (): StatusRecord => sample("status-director") as StatusRecord;
export const findings = (): FindingsRecord => sample("findings") as FindingsRecord;
export const events = (): EventsRecord => sample("events") as EventsRecord;
export const trace = (): TraceRecord => sample("trace") as TraceRecord;

/** Typical services: name, addresses, DSCP, conditions. */
const SERVICES: readonly (readonly [
	name: string,
	host: number,
	dscp: number,
	protocols: string,
	ports: string,
])[] = [
	["shop", 10, 7, "tcp", "80,443"],
	["shop-images", 11, 8, "tcp", "443"],
	["api", 20, 10, "tcp", "443"],
	["api-internal", 21, 11, "tcp", "8443"],
	["search", 30, 12, "tcp", "443"],
	["dns", 53, 14, "udp/tcp", "53"],
	["ntp", 54, 15, "udp", "123"],
	["mail", 60, 18, "tcp", "25,465,587"],
	["imap", 61, 19, "tcp", "993"],
	["ldap", 70, 22, "tcp", "636"],
	["metrics", 80, 26, "tcp", "9090-9099"],
	["quic", 90, 30, "udp", "443"],
];

/** A real server of several services, all but one of them up. */
export function shopServer(): StatusRecord {
	const status = realServer();
	const services = SERVICES.flatMap(([name, host, dscp, protocols, ports]) =>
		[`192.0.2.${host}`, ...(host < 50 ? [`2001:db8::${host}`] : [])].map((vip): ServiceRecord => {
			const broken = name === "dns";
			return {
				name,
				type: "l3dsr",
				vip,
				selects: `DSCP ${dscp}, ${protocols} ${ports}`,
				selection: [{ dscp, protocols: protocols.split("/"), ports: ports.split(",").map(range) }],
				state: broken ? "partial" : "up",
				loopback: broken ? null : vip.includes(":") ? "lo" : `lo:${host}`,
				rules: { present: 1, wanted: 1 },
				datapaths: ["ebpf"],
				packets: 48_000_000 + host * 1_234_567,
				bytes: 31_000_000_000 + host * 987_654_321,
			};
		}),
	);
	return { ...status, services, datapath: { running: ["ebpf"], hooks: [], why: "auto" }, otherRules: 0 };
}

function range(text: string): { first: number; last: number } {
	const [first = "0", last = first] = text.split("-");
	return { first: Number(first), last: Number(last) };
}

/** A director of two pools; in one of them a real server is down and one is drained. */
export function shopDirector(): StatusRecord {
	const status = director();
	const { director: directing } = status;
	const [web] = directing?.services ?? [];
	if (directing === undefined || web === undefined)
		throw new Error("the sample of a director has no service");
	const service = (changes: Partial<DirectedServiceRecord>): DirectedServiceRecord => ({
		...web,
		...changes,
	});
	const mail = Array.from({ length: 3 }, (_, n) => ({
		...web.reals[0],
		name: `m${n + 1}`,
		address: `10.2.0.${n + 11}`,
		share: 1 / 3,
		slots: 21_845,
	})) as DirectedServiceRecord["reals"];
	const services = [
		service({ name: "shop", port: 443 }),
		service({ name: "shop", port: 80, transition: null }),
		service({ name: "api", vip: "192.0.2.20", port: 443, dscp: 10, transition: null }),
		service({
			name: "mail",
			vip: "192.0.2.60",
			port: 25,
			dscp: 18,
			pool: "mail",
			reals: mail,
			transition: null,
		}),
		service({
			name: "mail",
			vip: "192.0.2.60",
			port: 587,
			dscp: 18,
			pool: "mail",
			reals: mail,
			transition: null,
		}),
	];
	return { ...status, director: { ...directing, services } };
}

/** A real server with `count` services. */
export function manyServices(count: number): StatusRecord {
	const status = realServer();
	const services = Array.from(
		{ length: count },
		(_, index): ServiceRecord => ({
			name: `service-${index + 1}`,
			type: "l3dsr",
			vip: `198.51.${100 + Math.floor(index / 250)}.${(index % 250) + 1}`,
			selects: `DSCP ${(index % 63) + 1}, tcp ${1000 + index}`,
			selection: [
				{ dscp: (index % 63) + 1, protocols: ["tcp"], ports: [{ first: 1000 + index, last: 1000 + index }] },
			],
			state: "up",
			loopback: `lo:${index + 1}`,
			rules: { present: 1, wanted: 1 },
			datapaths: ["ebpf"],
			packets: 1000 * index,
			bytes: 1_000_000 * index,
		}),
	);
	return { ...status, services, drift: [] };
}

/** The same host `seconds` later: the counters of each service have increased at its own rate. */
export function later(status: StatusRecord, seconds: number): StatusRecord {
	const timeMs = Date.parse(status.time) + seconds * 1000;
	const wave = (index: number): number => {
		const t = timeMs / 1000 + index * 37;
		return 1 + 0.28 * Math.sin(t / 19) + 0.12 * Math.sin(t / 4.1) + 0.06 * Math.sin(t * 1.7);
	};
	const grown = (index: number): { packets: number; bytes: number } => {
		const packets = Math.round(seconds * wave(index) * (52_000 / (1 + (index % 9) ** 1.6)));
		return { packets, bytes: packets * (180 + ((index * 97) % 900)) };
	};
	const services = status.services.map((service, index) => {
		if (service.packets === null || service.bytes === null) return service;
		const { packets, bytes } = grown(index);
		return { ...service, packets: service.packets + packets, bytes: service.bytes + bytes };
	});
	const directed = (status.director?.services ?? []).map((service, index): DirectedServiceRecord => {
		const { packets, bytes } = grown(index);
		const reals = service.reals.map((real) => ({
			...real,
			packets: real.packets + Math.round(packets * real.share),
			bytes: real.bytes + Math.round(bytes * real.share),
		}));
		return { ...service, reals, packets: service.packets + packets, bytes: service.bytes + bytes };
	});
	const run = status.agent?.lastRun;
	return {
		...status,
		time: new Date(timeMs).toISOString(),
		services,
		...(status.director === undefined ? {} : { director: { ...status.director, services: directed } }),
		...(status.agent === undefined || run === undefined ? {} : { agent: { ...status.agent } }),
	};
}
