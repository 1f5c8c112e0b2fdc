/** The text of l3dsr.yaml → a Configuration, or everything that is wrong with it at once. */
import { PORT_PROTOCOLS, PROTOCOL_NUMBER } from "@l3dsr/packet";
import { L3dsrError, type Position } from "../../errors.ts";
import {
	type Configuration,
	type DatapathSettings,
	DEFAULT_CONFIGURATION,
} from "../../model/configuration.ts";
import type { Selection, Service } from "../../model/service.ts";
import { LIMITS } from "../limits.ts";
import { ConfigDocument } from "./document.ts";
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
import { configSchema, serviceSchema } from "./schema.ts";
import { type FileShape, reportIssues } from "./schema-issues.ts";
import { type Path, ValueReader } from "./value-reader.ts";

/** A service and where a file asks for it: at what selects it, or at its VIP. */
export interface PlacedService {
	readonly service: Service;
	readonly place: Position;
}

export interface ParsedConfig {
	/** Without `services` of included files and of the fleet. */
	readonly configuration: Configuration;
	/** The settings of the datapaths that stand in the file. */
	readonly given: Partial<DatapathSettings>;
	/** As `configuration.services`, in the same order. */
	readonly placed: readonly PlacedService[];
	/** Where `include` is, if it is. */
	readonly includedAt?: Position;
	/** Where `fleet` is, if it is. */
	readonly fleetAt?: Position;
	/** The key is there, be its list empty. */
	readonly hasServices: boolean;
}

/** Protocols whose ports every datapath can set, and translate back. */
const TRANSLATED: readonly number[] = [PROTOCOL_NUMBER.tcp, PROTOCOL_NUMBER.udp];

const EMPTY: ParsedConfig = {
	configuration: DEFAULT_CONFIGURATION,
	given: {},
	placed: [],
	hasServices: false,
};

const SHAPE: FileShape = {
	name: "the configuration",
	mappingAt: (path) =>
		path.length === 0
			? { name: "the configuration", keys: Object.keys(configSchema.shape) }
			: { name: "a service", keys: Object.keys(serviceSchema.shape) },
	singleValues: new Set(["vip", "name", "dscp", "mark", "real", "set-port"]),
	listValues: new Set(["interface", "interfaces", "protocol", "ports"]),
};

/** Throws L3dsrError with every CONFIG_* problem of the text. Conflicts between services: conflictDiagnostics. */
export function parseConfig(text: string, source: string): ParsedConfig {
	const document = new ConfigDocument(text, source);
	const parsed = document.readable ? new ConfigReader(document).read() : EMPTY;
	const [first, ...rest] = document.diagnostics();
	if (first !== undefined) throw new L3dsrError([first, ...rest]);
	return parsed;
}

class ConfigReader {
	readonly #document: ConfigDocument;
	readonly #values: ValueReader;

	constructor(document: ConfigDocument) {
		this.#document = document;
		this.#values = new ValueReader(document);
	}

	read(): ParsedConfig {
		const values = this.#document.toJS();
		const result = configSchema.safeParse(values);
		reportIssues(this.#document, result.error?.issues ?? [], SHAPE);
		const interfaces = this.#values.many(["interfaces"], readInterface);
		const services = arrayAt(values, "services");
		if (services.length > LIMITS.services) {
			const message = `there are ${services.length} services, at most ${LIMITS.services} are taken`;
			this.#document.report("CONFIG_BAD_VALUE", message, this.#document.place(["services"]));
			return EMPTY;
		}
		const placed = services.flatMap((_, index) => this.#service(["services", index]) ?? []);
		const known = result.success ? result.data : {};
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
				services: placed.map(({ service }) => service),
			},
			given,
			placed,
			hasServices: this.#document.at(["services"]) !== undefined,
			...(known.include === undefined ? {} : { includedAt: this.#document.place(["include"]) }),
			...(known.fleet === undefined ? {} : { fleetAt: this.#document.place(["fleet"]) }),
		};
	}

	#service(path: Path): PlacedService | undefined {
		const vip = this.#values.one([...path, "vip"], readVip);
		const name = this.#values.one([...path, "name"], readName);
		const dscp = this.#values.one([...path, "dscp"], readDscp);
		const mark = this.#values.one([...path, "mark"], readMark);
		const interfaces = this.#values.many([...path, "interface"], readInterface);
		const setPort = this.#values.one([...path, "set-port"], readPort);
		const ports = this.#values.many([...path, "ports"], readPorts);
		const protocols =
			this.#values.many([...path, "protocol"], readProtocol) ??
			(ports === undefined ? undefined : [PROTOCOL_NUMBER.tcp, PROTOCOL_NUMBER.udp]);
		if (vip === undefined) return undefined;
		const real = this.#values.one([...path, "real"], (text) => readReal(text, vip.family));
		const selection: Selection = {
			...(dscp === undefined ? {} : { dscp }),
			...(mark === undefined ? {} : { mark }),
			...(interfaces === undefined ? {} : { interfaces }),
			...(real === undefined ? {} : { real }),
			...(protocols === undefined ? {} : { protocols }),
			...(ports === undefined ? {} : { ports }),
		};
		this.#checkTogether(path, selection);
		const selectors = ["dscp", "mark", "interface", "real"].filter((key) => this.#values.has([...path, key]));
		return {
			service: {
				name: name ?? vip.text,
				vip,
				...(selectors.length === 0 ? {} : { selection }),
				...(setPort === undefined ? {} : { setPort }),
				clearDscp: this.#document.scalars([...path, "clear-dscp"])[0]?.text === "true",
			},
			place: this.#document.place([...path, selectors[0] ?? "vip"]),
		};
	}

	/** An answer has to say which port its client has sent to. */
	#checkAnswers(path: Path, { protocols, ports }: Selection): void {
		const [only, ...others] = ports ?? [];
		const other = protocols?.find(
			(number) => !TRANSLATED.includes(number) && PORT_PROTOCOLS.includes(number),
		);
		if (only === undefined || others.length > 0 || only.first !== only.last) {
			this.#document.report(
				"CONFIG_BAD_VALUE",
				"set-port needs ports with one port: answers are translated back to it, and do not say which of several it was",
				this.#document.place([...path, only === undefined ? "set-port" : "ports"]),
				{ hint: "give each port a service of its own" },
			);
		} else if (other !== undefined) {
			this.#document.report(
				"CONFIG_BAD_VALUE",
				`set-port is for TCP and UDP: the port of IP protocol ${other} cannot be translated both ways`,
				this.#document.place([...path, "protocol"]),
				{ hint: "take set-port away, or make the protocol a service of its own" },
			);
		}
	}

	/** What each value allows by itself and the service as a whole does not. */
	#checkTogether(path: Path, selection: Selection): void {
		const { protocols, ports } = selection;
		const selects = ["dscp", "mark", "interface", "real"].some((key) => this.#values.has([...path, key]));
		if (!selects) {
			for (const key of ["protocol", "ports", "set-port", "clear-dscp"]) {
				if (!this.#values.has([...path, key])) continue;
				this.#document.report(
					"CONFIG_MISSING",
					`${key} says nothing without dscp, mark, interface or real: an L2DSR service is not rewritten`,
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
				{ hint: `take ${key} away, or make it a service of its own` },
			);
		}
	}
}

function arrayAt(values: unknown, key: string): readonly unknown[] {
	if (typeof values !== "object" || values === null) return [];
	const value: unknown = Reflect.get(values, key);
	return Array.isArray(value) ? value : [];
}
