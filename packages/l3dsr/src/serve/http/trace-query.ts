/** Reads the packet to trace from the query of `GET /v1/trace?…`. Pure. */

import { isDscp, isPort, parseAddress } from "@l3dsr/packet";
import type { PacketQuestion } from "../../inspect/trace/trace-question.ts";
import { isInterfaceName } from "../../model/interface-name.ts";

const PROTOCOLS = ["tcp", "udp", "icmp"] as const;
const KEYS: readonly string[] = [
	"from",
	"to",
	"protocol",
	"port",
	"source",
	"dscp",
	"ecn",
	"ttl",
	"mark",
	"interface",
];

/** The question, or one sentence for each fault in the query. */
export function readTraceQuery(query: URLSearchParams): PacketQuestion | readonly string[] {
	const wrong: string[] = [];
	for (const key of new Set(query.keys())) {
		if (!KEYS.includes(key))
			wrong.push(`there is no field ${JSON.stringify(key)}: expected ${KEYS.join(", ")}`);
		else if (query.getAll(key).length > 1) wrong.push(`${key} is given twice`);
	}
	const address = (key: "from" | "to"): string => {
		const text = query.get(key);
		if (text === null || text === "") wrong.push(`${key} is missing: an IPv4 or IPv6 address`);
		const parsed = parseAddress(text ?? "");
		if (text !== null && text !== "" && parsed === undefined)
			wrong.push(`${key} is not an IPv4 or IPv6 address`);
		return parsed?.text ?? "";
	};
	const number = (key: string, isGood: (value: number) => boolean, expected: string): number | undefined => {
		const text = query.get(key);
		if (text === null || text === "") return undefined;
		const value = /^(\d{1,10}|0x[0-9a-fA-F]{1,8})$/.test(text) ? Number(text) : Number.NaN;
		if (isGood(value)) return value;
		wrong.push(`${key} is not a number from ${expected}`);
		return undefined;
	};
	const from = address("from");
	const to = address("to");
	if (parseAddress(from)?.family !== parseAddress(to)?.family && wrong.length === 0) {
		wrong.push("from and to are of different families");
	}
	const protocol = PROTOCOLS.find((one) => one === (query.get("protocol") || "tcp"));
	if (protocol === undefined) wrong.push(`protocol is not one of ${PROTOCOLS.join(", ")}`);
	const port = number("port", (value) => value > 0 && isPort(value), "1 to 65535");
	const source = number("source", (value) => value > 0 && isPort(value), "1 to 65535");
	if (protocol === "icmp" && (port ?? source) !== undefined) wrong.push("an echo request has no port");
	const dscp = number("dscp", isDscp, "0 to 63") ?? 0;
	const ecn = number("ecn", (value) => value <= 3, "0 to 3") ?? 0;
	const ttl = number("ttl", (value) => value <= 255, "0 to 255") ?? 64;
	const mark = number("mark", (value) => value <= 0xffff_ffff, "0 to 4294967295") ?? 0;
	const name = query.get("interface") ?? "";
	if (name !== "" && !isInterfaceName(name)) wrong.push("interface is not a name of an interface");
	if (wrong.length > 0 || protocol === undefined) return wrong;
	return {
		from,
		to,
		protocol,
		...(port === undefined ? {} : { port }),
		...(source === undefined ? {} : { source }),
		dscp,
		ecn,
		ttl,
		mark,
		...(name === "" ? {} : { interface: name }),
	};
}
