/** Parses l3dsr.yaml into a Configuration, or reports all faults at once. */
import { type Address, dscpOfTos, PORT_PROTOCOLS, PROTOCOL_NUMBER } from "@l3dsr/packet";
import { L3dsrError, type Position } from "../../errors.ts";
import {
	type Configuration,
	type DatapathSettings,
	DEFAULT_CONFIGURATION,
} from "../../model/configuration.ts";
import type { DirectorConfiguration } from "../../model/director.ts";
import type { Selection, Service } from "../../model/service.ts";
import { LIMITS } from "../limits.ts";
import { readAgentSettings } from "./agent-settings.ts";
import { ConfigDocument } from "./document.ts";
import { readDirector } from "./read-director.ts";
import {
	readDscp,
	readInterface,
	readMark,
	readName,
	readPort,
	readPorts,
	readProtocol,
	readReal,
	readVip,
} from "./read-value.ts";
import { agentSchema, configSchema, directorSchema, serviceSchema, tlsSchema } from "./schema.ts";
import { type FileShape, reportIssues } from "./schema-issues.ts";
import { type Path, ValueReader } from "./value-reader.ts";

/** A service and its position in a file: that of its conditions, or of its VIP. */
export interface PlacedService {
	readonly service: Service;
	readonly place: Position;
}

export interface ParsedConfig {
	/** Does not contain the `services` of included files and of the fleet. */
	readonly configuration: Configuration;
	/** The settings of the datapaths that are in the file. */
	readonly given: Partial<DatapathSettings>;
	/** The same services as `configuration.services`, in the same order. */
	readonly placed: readonly PlacedService[];
	/** False if the file does not say which services there are; an empty list is then not the author's wish. */
	readonly saysServices: boolean;
	/** Position of `include`, if present. */
	readonly includedAt?: Position;
	/** Position of `fleet`, if present. */
	readonly fleetAt?: Position;
}

/** Protocols whose ports every datapath can set and translate back. */
const TRANSLATED: readonly number[] = [PROTOCOL_NUMBER.tcp, PROTOCOL_NUMBER.udp];

const EMPTY: ParsedConfig = {
	configuration: DEFAULT_CONFIGURATION,
	given: {},
	placed: [],
	saysServices: true,
};

/** Keys by which other tools call ours. */
const MEANT: Readonly<Record<string, (value: string) => string>> = {
	tos: (value) => {
		const tos = /^(0x[0-9a-f]{1,2}|\d{1,3})$/i.test(value) ? Number(value) : 256;
		const written = tos > 255 ? "" : `: write dscp: ${dscpOfTos(tos)}`;
		return `a TOS byte is four times the DSCP${written}`;
	},
	ip: (value) => `write vip: ${value}`,
	address: (value) => `write vip: ${value}`,
};

const SHAPE: FileShape = {
	name: "the configuration",
	mappingAt: ([first, second]) => {
		if (first === undefined) return { name: "the configuration", keys: Object.keys(configSchema.shape) };
		if (first === "director") return { name: "director", keys: Object.keys(directorSchema().shape) };
		if (first !== "agent") return { name: "a service", keys: Object.keys(serviceSchema.shape) };
		return second === "tls"
			? { name: "tls", keys: Object.keys(tlsSchema().shape) }
			: { name: "agent", keys: Object.keys(agentSchema().shape) };
	},
	meantBy: (key, value) => MEANT[key]?.(value),
	singleValues: new Set(["name", "dscp", "mark", "real", "set-port", "vlan"]),
	listValues: new Set(["vip", "interface", "interfaces", "protocol", "ports", "listen", "hosts"]),
};

/**
 * Throws L3dsrError with every CONFIG_* problem of the text. conflictDiagnostics reports conflicts between services.
 */
export function parseConfig(text: string, source: string): ParsedConfig {
	const document = new ConfigDocument(text, source);
	const parsed = document.readable ? new ConfigReader(document, source).read() : EMPTY;
	const [first, ...rest] = document.diagnostics();
	if (first !== undefined) throw new L3dsrError([first, ...rest]);
	return parsed;
}

class ConfigReader {
	readonly #document: ConfigDocument;
	readonly #source: string;
	readonly #values: ValueReader;

	constructor(document: ConfigDocument, source: string) {
		this.#document = document;
		this.#source = source;
		this.#values = new ValueReader(document);
	}

	read(): ParsedConfig {
		const values = this.#document.toJS();
		const result = configSchema.safeParse(values);
		reportIssues(this.#document, result.error?.issues ?? [], SHAPE);
		const interfaces = this.#values.many(["interfaces"], readInterface);
		const agent =
			valueAt(values, "agent") === undefined
				? {}
				: { agent: readAgentSettings((result.success ? result.data.agent : undefined) ?? {}, this.#values) };
		const services = arrayAt(values, "services");
		if (services.length > LIMITS.services) {
			const message = `there are ${services.length} services, the limit is ${LIMITS.services}`;
			this.#document.report("CONFIG_BAD_VALUE", message, this.#document.place(["services"]));
			return EMPTY;
		}
		const placed = services.flatMap((_, index) => this.#services(["services", index]));
		const known = result.success ? result.data : {};
		const director = this.#director(values);
		const { datapath, hook, "open-checksums": openChecksums } = known;
		const given: Partial<DatapathSettings> = {
			...(datapath === undefined ? {} : { datapath }),
			...(hook === undefined ? {} : { hook }),
			...(openChecksums === undefined ? {} : { openChecksums }),
		};
		return {
			configuration: {
				...DEFAULT_CONFIGURATION,
				...given,
				table: known.table ?? DEFAULT_CONFIGURATION.table,
				...(interfaces === undefined ? {} : { interfaces }),
				...(known.include === undefined ? {} : { include: known.include }),
				...(known.fleet === undefined ? {} : { fleet: known.fleet }),
				...(director === undefined ? {} : { director }),
				...agent,
				services: placed.map(({ service }) => service),
			},
			given,
			placed,
			saysServices: Array.isArray(valueAt(values, "services")),
			...(known.include === undefined ? {} : { includedAt: this.#document.place(["include"]) }),
			...(known.fleet === undefined ? {} : { fleetAt: this.#document.place(["fleet"]) }),
		};
	}

	#director(values: unknown): DirectorConfiguration | undefined {
		const given = valueAt(values, "director");
		if (given === undefined) return undefined;
		const keys = directorSchema().safeParse(given);
		const hasFleet = this.#document.at(["fleet"]) !== undefined;
		return readDirector(this.#document, this.#values, keys.data, { source: this.#source, hasFleet });
	}

	/** The services of one entry: one for each of its VIPs. */
	#services(path: Path): PlacedService[] {
		const vips = this.#vips([...path, "vip"]);
		const name = this.#values.one([...path, "name"], readName);
		const dscp = this.#values.one([...path, "dscp"], readDscp);
		const mark = this.#values.one([...path, "mark"], readMark);
		const interfaces = this.#values.many([...path, "interface"], readInterface);
		const setPort = this.#values.one([...path, "set-port"], readPort);
		const ports = this.#values.many([...path, "ports"], readPorts);
		const protocols =
			this.#values.many([...path, "protocol"], readProtocol) ??
			(ports === undefined ? undefined : [PROTOCOL_NUMBER.tcp, PROTOCOL_NUMBER.udp]);
		const [vip] = vips;
		if (vip === undefined) return [];
		const real = this.#values.one([...path, "real"], (text) => readReal(text, vip.family));
		if (vips.length > 1 && this.#values.has([...path, "real"])) {
			const message = "real is an address of one family, but this service has VIPs of both";
			const place = this.#document.placeOfKey(path, "real");
			this.#document.report("CONFIG_BAD_VALUE", message, place, { hint: "write a service for each VIP" });
		}
		const selection: Selection = {
			...(dscp === undefined ? {} : { dscp }),
			...(mark === undefined ? {} : { mark }),
			...(interfaces === undefined ? {} : { interfaces }),
			...(real === undefined ? {} : { real }),
			...(protocols === undefined ? {} : { protocols }),
			...(ports === undefined ? {} : { ports }),
		};
		const selectors = ["dscp", "mark", "interface", "real"].filter((key) => this.#values.has([...path, key]));
		this.#checkTogether(path, selection, selectors.length > 0);
		const place = this.#document.place([...path, selectors[0] ?? "vip"]);
		const clearDscp = this.#document.scalars([...path, "clear-dscp"])[0]?.text === "true";
		return vips.map((one) => ({
			service: {
				name: name ?? one.text,
				vip: one,
				...(selectors.length === 0 ? {} : { selection }),
				...(setPort === undefined ? {} : { setPort }),
				clearDscp,
			},
			place,
		}));
	}

	/** One address, or one of each family. */
	#vips(path: Path): readonly Address[] {
		const vips = this.#values.many(path, readVip) ?? [];
		const families = new Set(vips.map(({ family }) => family));
		if (vips.length === families.size) return vips;
		const message = "a list of VIPs holds one IPv4 and one IPv6 address";
		const hint = "write a service for each VIP, with conditions that separate their packets";
		this.#document.report("CONFIG_BAD_VALUE", message, this.#document.place(path), { hint });
		return [];
	}

	/** set-port needs exactly one port, because answers are translated back to it. */
	#checkAnswers(path: Path, { protocols, ports }: Selection): void {
		const [only, ...others] = ports ?? [];
		const other = protocols?.find(
			(number) => !TRANSLATED.includes(number) && PORT_PROTOCOLS.includes(number),
		);
		if (only === undefined || others.length > 0 || only.first !== only.last) {
			this.#document.report(
				"CONFIG_BAD_VALUE",
				"set-port needs exactly one port in ports: answers are translated back to it",
				this.#document.place([...path, only === undefined ? "set-port" : "ports"]),
				{ hint: "give each port its own service" },
			);
		} else if (other !== undefined) {
			this.#document.report(
				"CONFIG_BAD_VALUE",
				`set-port is for TCP and UDP: the port of IP protocol ${other} cannot be translated both ways`,
				this.#document.place([...path, "protocol"]),
				{ hint: "remove set-port, or give the protocol its own service" },
			);
		}
	}

	/** Checks the combination of values that are valid by themselves. */
	#checkTogether(path: Path, selection: Selection, selects: boolean): void {
		const { protocols, ports } = selection;
		if (!selects) {
			for (const key of ["protocol", "ports", "set-port", "clear-dscp"]) {
				if (!this.#values.has([...path, key])) continue;
				this.#document.report(
					"CONFIG_MISSING",
					`${key} has no effect without dscp, mark, interface or real: an L2DSR service is not rewritten`,
					this.#document.placeOfKey(path, key),
				);
			}
		}
		if (selects && this.#values.has([...path, "set-port"])) this.#checkAnswers(path, selection);
		const portless = protocols?.find((number) => !PORT_PROTOCOLS.includes(number));
		if (portless === undefined) return;
		for (const key of ["ports", "set-port"]) {
			if (key === "ports" ? ports === undefined : !this.#values.has([...path, key])) continue;
			this.#document.report(
				"CONFIG_BAD_VALUE",
				`IP protocol ${portless} has no ports`,
				this.#document.place([...path, "protocol"]),
				{ hint: `remove ${key}, or make it a separate service` },
			);
		}
	}
}

function arrayAt(values: unknown, key: string): readonly unknown[] {
	const value = valueAt(values, key);
	return Array.isArray(value) ? value : [];
}

function valueAt(values: unknown, key: string): unknown {
	return typeof values === "object" && values !== null ? Reflect.get(values, key) : undefined;
}
