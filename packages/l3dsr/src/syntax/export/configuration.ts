/** l3dsr.yaml, as YAML and as JSON (which is also YAML: `l3dsr up -c` reads both). */
import { PROTOCOL_NUMBER } from "@l3dsr/packet";
import { type Configuration, DEFAULT_CONFIGURATION } from "../../model/configuration.ts";
import type { InterfaceName } from "../../model/interface-name.ts";
import type { NumberRange } from "../../model/rule.ts";
import type { Service } from "../../model/service.ts";
import { shortPrefixText } from "../selection-text.ts";
import type { Printed, VipTable } from "./vip-table.ts";

type Value = string | number | boolean | readonly (string | number)[];
type Fields = Readonly<Record<string, Value>>;

export function printYaml({ configuration }: VipTable): Printed {
	const settings = settingsOf(configuration);
	const services = configuration.services.map(fieldsOf);
	const lines = [
		...Object.entries(settings).map(([key, value]) => `${key}: ${yamlValue(value)}`),
		services.length === 0 ? "services: []" : "services:",
		...services.flatMap((fields) =>
			Object.entries(fields).map(
				([key, value], index) => `${index === 0 ? "  - " : "    "}${key}: ${yamlValue(value)}`,
			),
		),
	];
	return { text: `${lines.join("\n")}\n`, left: [] };
}

export function printJson({ configuration }: VipTable): Printed {
	const value = { ...settingsOf(configuration), services: configuration.services.map(fieldsOf) };
	return { text: `${JSON.stringify(value, undefined, 2)}\n`, left: [] };
}

/** The settings that differ from the defaults. */
function settingsOf({ datapath, hook, table, interfaces }: Configuration): Fields {
	return {
		...(datapath === DEFAULT_CONFIGURATION.datapath ? {} : { datapath }),
		...(hook === DEFAULT_CONFIGURATION.hook ? {} : { hook }),
		...(table === DEFAULT_CONFIGURATION.table ? {} : { table }),
		...(interfaces === undefined ? {} : { interfaces: oneOrMore(interfaces.map(interfaceText)) }),
	};
}

/** A single value is written without a list. */
function oneOrMore(values: readonly (string | number)[]): Value {
	const [only] = values;
	return only !== undefined && values.length === 1 ? only : values;
}

function fieldsOf({ name, vip, selection = {}, setPort, clearDscp }: Service): Fields {
	const { dscp, mark, interfaces, real, protocols, ports } = selection;
	return {
		vip: vip.text,
		...(name === vip.text ? {} : { name }),
		...(dscp === undefined ? {} : { dscp }),
		...(mark === undefined ? {} : { mark: markText(mark) }),
		...(interfaces === undefined ? {} : { interface: oneOrMore(interfaces.map(interfaceText)) }),
		...(real === undefined
			? {}
			: {
					real: shortPrefixText(real),
				}),
		...(protocols === undefined ? {} : { protocol: oneOrMore(protocols.map(protocolText)) }),
		...(ports === undefined ? {} : { ports: oneOrMore(ports.map(portText)) }),
		...(setPort === undefined ? {} : { "set-port": setPort }),
		...(clearDscp ? { "clear-dscp": true } : {}),
	};
}

function markText({ value, mask }: { readonly value: number; readonly mask: number }): string {
	const hex = (number: number) => `0x${(number >>> 0).toString(16)}`;
	return mask >>> 0 === 0xffffffff ? hex(value) : `${hex(value)}/${hex(mask)}`;
}

function interfaceText({ name, wildcard }: InterfaceName): string {
	return wildcard ? `${name}+` : name;
}

function protocolText(number: number): string | number {
	const named = Object.entries(PROTOCOL_NUMBER).find(([, value]) => value === number);
	return named === undefined ? number : named[0];
}

function portText({ first, last }: NumberRange): string | number {
	return first === last ? first : `${first}-${last}`;
}

function yamlValue(value: Value): string {
	if (typeof value === "object") return `[${value.map(yamlValue).join(", ")}]`;
	if (typeof value !== "string") return String(value);
	// Words that YAML reads unchanged, also in a list; everything else is quoted.
	const plain = /^[A-Za-z][A-Za-z0-9_.-]*$|^\d+\.\d+\.\d+\.\d+(\/\d+)?$/.test(value);
	const special = /^(true|false|null|yes|no|on|off|y|n|\.?inf|\.?nan)$/i.test(value);
	return plain && !special ? value : JSON.stringify(value);
}
