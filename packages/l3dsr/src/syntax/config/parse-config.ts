/** The text of l3dsr.yaml → a Configuration, or everything that is wrong with it at once. */
import { PORT_PROTOCOLS, PROTOCOL_NUMBER } from "@l3dsr/packet";
import type * as z from "zod/mini";
import { L3dsrError, type Position } from "../../errors.ts";
import { type Configuration, DEFAULT_CONFIGURATION } from "../../model/configuration.ts";
import type { Selection, Service } from "../../model/service.ts";
import { didYouMean } from "../suggest.ts";
import { ConfigDocument } from "./document.ts";
import {
	type Reading,
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

/** A service and where a file asks for it: at what selects it, or at its VIP. */
export interface PlacedService {
	readonly service: Service;
	readonly place: Position;
}

export interface ParsedConfig {
	/** Without `services` of included files. */
	readonly configuration: Configuration;
	/** As `configuration.services`, in the same order. */
	readonly placed: readonly PlacedService[];
	/** Where `include` is, if it is. */
	readonly includedAt?: Position;
}

const EMPTY: ParsedConfig = { configuration: DEFAULT_CONFIGURATION, placed: [] };

type Path = readonly (string | number)[];

/** Values that read-value.ts judges, with better words than a schema has: single ones, and possible lists. */
const SINGLE_VALUES = new Set(["vip", "name", "dscp", "mark", "real", "set-port"]);
const LIST_VALUES = new Set(["interface", "interfaces", "protocol", "ports"]);

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

	constructor(document: ConfigDocument) {
		this.#document = document;
	}

	read(): ParsedConfig {
		const values = this.#document.toJS();
		const result = configSchema.safeParse(values);
		for (const issue of result.error?.issues ?? []) this.#reportIssue(issue);
		const interfaces = this.#many(["interfaces"], readInterface);
		const services = arrayAt(values, "services");
		const placed = services.flatMap((_, index) => this.#service(["services", index]) ?? []);
		const known = result.success ? result.data : {};
		return {
			configuration: {
				datapath: known.datapath ?? DEFAULT_CONFIGURATION.datapath,
				hook: known.hook ?? DEFAULT_CONFIGURATION.hook,
				openChecksums: known["open-checksums"] ?? DEFAULT_CONFIGURATION.openChecksums,
				table: known.table ?? DEFAULT_CONFIGURATION.table,
				...(interfaces === undefined ? {} : { interfaces }),
				...(known.include === undefined ? {} : { include: known.include }),
				services: placed.map(({ service }) => service),
			},
			placed,
			...(known.include === undefined ? {} : { includedAt: this.#document.place(["include"]) }),
		};
	}

	#service(path: Path): PlacedService | undefined {
		const vip = this.#one([...path, "vip"], readVip);
		const name = this.#one([...path, "name"], readName);
		const dscp = this.#one([...path, "dscp"], readDscp);
		const mark = this.#one([...path, "mark"], readMark);
		const interfaces = this.#many([...path, "interface"], readInterface);
		const setPort = this.#one([...path, "set-port"], readPort);
		const ports = this.#many([...path, "ports"], readPorts);
		const protocols =
			this.#many([...path, "protocol"], readProtocol) ??
			(ports === undefined ? undefined : [PROTOCOL_NUMBER.tcp, PROTOCOL_NUMBER.udp]);
		if (vip === undefined) return undefined;
		const real = this.#one([...path, "real"], (text) => readReal(text, vip.family));
		const selection: Selection = {
			...(dscp === undefined ? {} : { dscp }),
			...(mark === undefined ? {} : { mark }),
			...(interfaces === undefined ? {} : { interfaces }),
			...(real === undefined ? {} : { real }),
			...(protocols === undefined ? {} : { protocols }),
			...(ports === undefined ? {} : { ports }),
		};
		this.#checkTogether(path, selection);
		const selectors = ["dscp", "mark", "interface", "real"].filter((key) => this.#has([...path, key]));
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

	/** What each value allows by itself and the service as a whole does not. */
	#checkTogether(path: Path, { protocols, ports }: Selection): void {
		const selects = ["dscp", "mark", "interface", "real"].some((key) => this.#has([...path, key]));
		if (!selects) {
			for (const key of ["protocol", "ports", "set-port", "clear-dscp"]) {
				if (!this.#has([...path, key])) continue;
				this.#document.report(
					"CONFIG_MISSING",
					`${key} says nothing without dscp, mark, interface or real: an L2DSR service is not rewritten`,
					this.#document.placeOfKey(path, key),
				);
			}
		}
		const portless = protocols?.find((number) => !PORT_PROTOCOLS.includes(number));
		if (portless === undefined) return;
		for (const key of ["ports", "set-port"]) {
			if (key === "ports" ? ports === undefined : !this.#has([...path, key])) continue;
			this.#document.report(
				"CONFIG_BAD_VALUE",
				`IP protocol ${portless} has no ports`,
				this.#document.place([...path, "protocol"]),
				{ hint: `take ${key} away, or make it a service of its own` },
			);
		}
	}

	#has(path: Path): boolean {
		return this.#document.scalars(path).length > 0;
	}

	#one<T>(path: Path, read: (text: string) => Reading<T>): T | undefined {
		return this.#many(path, read)?.[0];
	}

	/** The values of a scalar or list; undefined when there is none, or one that is wrong (then reported). */
	#many<T>(path: Path, read: (text: string) => Reading<T>): T[] | undefined {
		const scalars = this.#document.scalars(path);
		const values: T[] = [];
		for (const scalar of scalars) {
			const reading = read(scalar.text);
			if (reading.ok) values.push(reading.value);
			else {
				const { code, message, hint } = reading;
				this.#document.report(code, message, scalar.position, hint === undefined ? {} : { hint });
			}
		}
		return values.length > 0 && values.length === scalars.length ? values : undefined;
	}

	#reportIssue(issue: z.core.$ZodIssue): void {
		const path = issue.path.filter((key) => typeof key !== "symbol");
		const document = this.#document;
		if (issue.code === "unrecognized_keys") {
			const known = Object.keys((path.length === 0 ? configSchema : serviceSchema).shape);
			for (const key of issue.keys) {
				const hint = didYouMean(key, known) ?? `keys here are ${known.join(", ")}`;
				const where = path.length === 0 ? "the configuration" : "a service";
				document.report("CONFIG_UNKNOWN_KEY", `${where} has no key ${key}`, document.placeOfKey(path, key), {
					hint,
				});
			}
			return;
		}
		const key = path.findLast((part) => typeof part === "string");
		const scalars = document.scalars(path);
		const node = document.at(path);
		const shape = document.shape(path);
		if (key !== undefined && SINGLE_VALUES.has(key) && shape === "scalar") return;
		if (key !== undefined && LIST_VALUES.has(key) && (shape === "scalar" || shape === "scalars")) return;
		const what =
			path.length === 0 ? "the configuration" : typeof path.at(-1) === "number" ? `an entry of ${key}` : key;
		if (node === undefined && issue.code === "invalid_type") {
			document.report("CONFIG_MISSING", `${what} is missing`, document.place(path.slice(0, -1)));
		} else if (issue.code === "invalid_value") {
			const allowed = issue.values.map(String);
			const text = shape === "scalar" ? scalars[0]?.text : undefined;
			const hint = text === undefined ? undefined : didYouMean(text, allowed);
			document.report(
				"CONFIG_BAD_VALUE",
				`${what} cannot be ${text === undefined ? "that" : `"${text}"`}, expected ${allowed.join(", ")}`,
				document.place(path),
				hint === undefined ? {} : { hint },
			);
		} else {
			document.report(
				"CONFIG_BAD_VALUE",
				`${what} is not of the expected form${expected(issue)}`,
				document.place(path),
			);
		}
	}
}

function expected(issue: z.core.$ZodIssue): string {
	if (issue.code !== "invalid_type") return "";
	const names: Record<string, string> = { object: "a mapping of keys", array: "a list", string: "a text" };
	return `, expected ${names[issue.expected] ?? `a ${issue.expected}`}`;
}

function arrayAt(values: unknown, key: string): readonly unknown[] {
	if (typeof values !== "object" || values === null) return [];
	const value: unknown = Reflect.get(values, key);
	return Array.isArray(value) ? value : [];
}
