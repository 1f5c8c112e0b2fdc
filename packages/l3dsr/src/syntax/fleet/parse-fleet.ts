/** Parses fleet.yaml into a Fleet, or reports all faults at once. */
import type { Address, Dscp, Family } from "@l3dsr/packet";
import { type Diagnostic, L3dsrError } from "../../errors.ts";
import {
	AFFINITIES,
	BALANCED_PROTOCOLS,
	CHECK_TYPES,
	type Check,
	type CheckQuestion,
	type CheckType,
	ECHO_MODES,
	type Fleet,
	type FleetService,
	type FleetVip,
	POOL_DEFAULTS,
	type Pool,
	REAL_STATES,
	type Real,
} from "../../model/fleet.ts";
import { ConfigDocument } from "../config/document.ts";
import { readName, readPort, readVip } from "../config/read-value.ts";
import { type FileShape, reportIssues } from "../config/schema-issues.ts";
import { type Path, ValueReader } from "../config/value-reader.ts";
import { fleetConflicts } from "./fleet-conflicts.ts";
import {
	readBalancedProtocol,
	readCode,
	readCommandWord,
	readDuration,
	readPayload,
	readPercentage,
	readRealAddress,
	readRequestHost,
	readRequestPath,
	readServicePort,
	readStatus,
	readWeight,
} from "./read-value.ts";
import {
	checkSchema,
	familyCodesSchema,
	fleetSchema,
	fleetServiceSchema,
	fleetVipSchema,
	poolSchema,
	realSchema,
} from "./schema.ts";

/** The mappings of the file, by the last named key of their path; `[]` is the file itself. */
const MAPPINGS = {
	vips: { name: "a VIP", keys: Object.keys(fleetVipSchema.shape) },
	services: { name: "a service", keys: Object.keys(fleetServiceSchema.shape) },
	dscp: { name: "dscp", keys: Object.keys(familyCodesSchema.shape) },
	reals: { name: "a real server", keys: Object.keys(realSchema.shape) },
	check: { name: "a check", keys: Object.keys(checkSchema.shape) },
} as const;

const SHAPE: FileShape = {
	name: "the fleet",
	mappingAt: (path) => {
		if (path.length === 0) return { name: "the fleet", keys: Object.keys(fleetSchema.shape) };
		if (path.length === 2 && path[0] === "pools")
			return { name: "a pool", keys: Object.keys(poolSchema.shape) };
		const key = path.findLast((part): part is keyof typeof MAPPINGS => part in MAPPINGS);
		return key === undefined ? { name: "the fleet", keys: [] } : MAPPINGS[key];
	},
	singleValues: new Set([
		"name",
		"dscp",
		"ipv4",
		"ipv6",
		"pool",
		"port",
		"weight",
		"interval",
		"timeout",
		"drain",
		"floor",
		"send",
		"path",
		"host",
	]),
	listValues: new Set(["addresses", "protocol", "expect"]),
};

/** The keys that each kind of check has, besides those of every check. */
const CHECK_KEYS: Readonly<Record<CheckType, readonly string[]>> = {
	tcp: ["port"],
	http: ["port", "path", "expect", "host"],
	https: ["port", "path", "expect", "host", "verify"],
	udp: ["port", "send", "expect"],
	icmp: [],
	exec: ["command"],
};
const KEYS_OF_SOME_CHECKS = [...new Set(Object.values(CHECK_KEYS).flat())];

const FAMILIES = ["ipv4", "ipv6"] as const satisfies readonly Family[];

const DEFAULT_STATUS = 200;
const DEFAULT_FALL = 3;
const DEFAULT_RISE = 2;

/**
 * Throws L3dsrError with every CONFIG_* problem of the text, or else with every MODEL_* conflict. `source`: the
 * file's name as given.
 */
export function parseFleet(text: string, source: string): Fleet {
	const document = new ConfigDocument(text, source);
	const fleet = document.readable ? new FleetReader(document).read() : { vips: [], pools: [] };
	throwAll(document.diagnostics());
	throwAll(fleetConflicts(fleet, (path) => document.place(path)));
	return fleet;
}

function throwAll([first, ...rest]: readonly Diagnostic[]): void {
	if (first !== undefined) throw new L3dsrError([first, ...rest]);
}

class FleetReader {
	readonly #document: ConfigDocument;
	readonly #values: ValueReader;

	constructor(document: ConfigDocument) {
		this.#document = document;
		this.#values = new ValueReader(document);
	}

	read(): Fleet {
		const values = this.#document.toJS();
		if (Object.keys(Object(values)).length === 0) {
			this.#document.report("CONFIG_MISSING", "the fleet is empty", this.#document.place([]), {
				hint: "write `vips: []` for a fleet without VIPs",
			});
			return { vips: [], pools: [] };
		}
		reportIssues(this.#document, fleetSchema.safeParse(values).error?.issues ?? [], SHAPE);
		return {
			vips: this.#each(["vips"], (path) => this.#vip(path)),
			pools: this.#keys(["pools"]).flatMap((name) => this.#pool(name) ?? []),
		};
	}

	#vip(path: Path): FleetVip | undefined {
		const name = this.#values.one([...path, "name"], (text) => readName(text, "VIP"));
		const addresses = this.#values.many([...path, "addresses"], readVip);
		const dscp = this.#codes([...path, "dscp"], addresses ?? []);
		const services = this.#each([...path, "services"], (at) => this.#service(at));
		const echo = this.#choice([...path, "echo"], ECHO_MODES) ?? "kernel";
		if (name === undefined || addresses === undefined) return undefined;
		return { name, addresses, dscp, services, echo };
	}

	/** One code for all families, or one for each. */
	#codes(path: Path, addresses: readonly Address[]): Partial<Record<Family, Dscp>> {
		const families = [...new Set(addresses.map(({ family }) => family))];
		if (this.#values.has(path)) {
			const code = this.#values.one(path, readCode);
			return code === undefined ? {} : Object.fromEntries(families.map((family) => [family, code]));
		}
		const given = FAMILIES.filter((family) => this.#values.has([...path, family]));
		for (const family of this.#document.at(path) === undefined ? [] : families) {
			if (given.includes(family)) continue;
			this.#document.report(
				"CONFIG_MISSING",
				`dscp has no ${family}, but the VIP has an address of that family`,
				this.#document.place(path),
			);
		}
		const codes = given.map((family) => [family, this.#values.one([...path, family], readCode)] as const);
		return Object.fromEntries(codes.filter(([, code]) => code !== undefined));
	}

	#service(path: Path): FleetService | undefined {
		const port = this.#values.one([...path, "port"], readServicePort);
		const protocols = this.#values.many([...path, "protocol"], readBalancedProtocol);
		const pool = this.#values.one([...path, "pool"], (text) => readName(text, "pool"));
		const affinity = this.#choice([...path, "affinity"], AFFINITIES) ?? "flow";
		if (port === undefined || protocols === undefined || pool === undefined) return undefined;
		return { port, protocols: BALANCED_PROTOCOLS.filter((one) => protocols.includes(one)), pool, affinity };
	}

	#pool(name: string): Pool | undefined {
		const path = ["pools", name];
		const check = this.#document.at([...path, "check"]) && this.#check([...path, "check"]);
		return {
			name,
			reals: this.#each([...path, "reals"], (at) => this.#real(at)),
			drainMs: this.#values.one([...path, "drain"], readDuration) ?? POOL_DEFAULTS.drainMs,
			floor: this.#values.one([...path, "floor"], readPercentage) ?? POOL_DEFAULTS.floor,
			...(check === undefined ? {} : { check }),
		};
	}

	#real(path: Path): Real | undefined {
		const name = this.#values.one([...path, "name"], (text) => readName(text, "real server"));
		const addresses = this.#values.many([...path, "addresses"], readRealAddress);
		const weight = this.#values.one([...path, "weight"], readWeight) ?? POOL_DEFAULTS.weight;
		const state = this.#choice([...path, "state"], REAL_STATES) ?? "enabled";
		if (name === undefined || addresses === undefined) return undefined;
		for (const [index, { family, text }] of addresses.entries()) {
			const earlier = addresses.slice(0, index).find((other) => other.family === family);
			if (earlier === undefined) continue;
			this.#document.report(
				"CONFIG_BAD_VALUE",
				`real server ${name} has two addresses of one family, ${earlier.text} and ${text}`,
				this.#document.place([...path, "addresses", index]),
				{ hint: "make each a separate real server" },
			);
		}
		return { name, addresses, weight, state };
	}

	#check(path: Path): Check | undefined {
		const type = this.#choice([...path, "type"], CHECK_TYPES);
		const intervalMs = this.#values.one([...path, "interval"], readDuration);
		const timeoutMs = this.#values.one([...path, "timeout"], readDuration);
		if (type === undefined) return undefined;
		for (const key of KEYS_OF_SOME_CHECKS) {
			if (CHECK_KEYS[type].includes(key) || this.#document.at([...path, key]) === undefined) continue;
			const place = this.#document.placeOfKey(path, key);
			const owners = CHECK_TYPES.filter((other) => CHECK_KEYS[other].includes(key));
			this.#document.report("CONFIG_BAD_VALUE", `a check of type ${type} has no ${key}`, place, {
				hint: `${key} belongs to ${owners.join(", ")}`,
			});
		}
		const question = this.#question(path, type);
		if (intervalMs !== undefined && timeoutMs !== undefined && timeoutMs > intervalMs) {
			this.#document.report(
				"CONFIG_BAD_VALUE",
				"the timeout of a check is longer than its interval",
				this.#document.place([...path, "timeout"]),
				{ hint: "checks of one real server must not overlap: make the interval at least as long" },
			);
		}
		if (question === undefined || intervalMs === undefined || timeoutMs === undefined) return undefined;
		const fall = this.#count([...path, "fall"]) ?? DEFAULT_FALL;
		const rise = this.#count([...path, "rise"]) ?? DEFAULT_RISE;
		return { ...question, intervalMs, timeoutMs, fall, rise };
	}

	#question(path: Path, type: CheckType): CheckQuestion | undefined {
		const port = this.#values.one([...path, "port"], readPort);
		const at = port === undefined ? {} : { port };
		const text = (key: string) => this.#document.scalars([...path, key])[0]?.text;
		switch (type) {
			case "tcp":
				return { type, ...at };
			case "http":
			case "https": {
				const host = this.#values.one([...path, "host"], readRequestHost);
				return {
					type,
					...at,
					path: this.#values.one([...path, "path"], readRequestPath) ?? "/",
					expect: this.#values.many([...path, "expect"], readStatus) ?? [DEFAULT_STATUS],
					...(host === undefined ? {} : { host }),
					...(type === "https" ? { verify: text("verify") !== "false" } : {}),
				};
			}
			case "udp": {
				const expect = this.#values.one([...path, "expect"], readPayload);
				const send = this.#values.one([...path, "send"], readPayload) ?? new Uint8Array(0);
				return { type, ...at, send, ...(expect === undefined ? {} : { expect }) };
			}
			case "icmp":
				return { type };
			case "exec": {
				const command = this.#command([...path, "command"]);
				return command === undefined ? undefined : { type, command };
			}
		}
	}

	#command(path: Path): string[] | undefined {
		const missing = "a check of type exec has no command";
		if (!this.#values.has(path)) {
			this.#document.report("CONFIG_MISSING", missing, this.#document.place(path.slice(0, -1)));
			return undefined;
		}
		const command = this.#values.many(path, readCommandWord);
		if (command?.[0] !== "") return command;
		this.#document.report(
			"CONFIG_MISSING",
			`${missing}: its first word is empty`,
			this.#document.place(path),
		);
		return undefined;
	}

	/** A small whole number; the schema has checked its range. */
	#count(path: Path): number | undefined {
		const text = this.#document.scalars(path)[0]?.text;
		return text === undefined ? undefined : Number(text);
	}

	/** One of these words; undefined for any other, which the schema reports. */
	#choice<T extends string>(path: Path, choices: readonly T[]): T | undefined {
		const text = this.#document.scalars(path)[0]?.text;
		return choices.find((choice) => choice === text);
	}

	#each<T>(path: Path, read: (path: Path) => T | undefined): T[] {
		const count = this.#document.count(path);
		return Array.from({ length: count }, (_, index) => read([...path, index])).filter(
			(value) => value !== undefined,
		);
	}

	#keys(path: Path): string[] {
		return this.#document.keys(path);
	}
}
