/** Reads single values of fleet.yaml: from the text of a scalar to the value or its fault. */
import { domainToASCII } from "node:url";
import { type Address, type Dscp, MAX_PORT, type Port, parseAddress } from "@l3dsr/packet";
import { BALANCED_PROTOCOLS, type BalancedProtocol, MOST_DRAIN_MS, MOST_WEIGHT } from "../../model/fleet.ts";
import { bad, good, type Reading, readDscp, readPort, reservedKind } from "../config/read-value.ts";

export const DURATION_PATTERN = /^[0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h)$/;
export const PERCENTAGE_PATTERN = /^(100|[0-9]{1,2})%$/;

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `100ms`, `1.5s`, `15m`, `2h`, in milliseconds; at most the longest drain. */
export function readDuration(text: string): Reading<number> {
	const [, unit] = /(ms|s|m|h)$/.exec(text) ?? [];
	if (!DURATION_PATTERN.test(text) || unit === undefined) {
		const bare = /^[0-9]+(\.[0-9]+)?$/.test(text) && Number(text) > 0;
		return bad(
			`"${text}" is not a duration, expected a number and ms, s, m or h`,
			bare ? `write ${text}s or ${text}ms` : undefined,
		);
	}
	const milliseconds = Number.parseFloat(text) * (UNIT_MS[unit] ?? 1);
	if (milliseconds < 1) return bad(`${text} is shorter than 1ms`);
	if (milliseconds > MOST_DRAIN_MS) return bad(`${text} is longer than ${MOST_DRAIN_MS / 3_600_000}h`);
	return good(Math.round(milliseconds));
}

/** `50%`, as a share of 1. */
export function readPercentage(text: string): Reading<number> {
	if (PERCENTAGE_PATTERN.test(text)) return good(Number.parseInt(text, 10) / 100);
	const share = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : undefined;
	const hint =
		share === undefined || share > 100
			? undefined
			: `write ${share <= 1 ? Math.round(share * 100) : Math.round(share)}%`;
	return bad(`"${text}" is not a percentage from 0% to 100%`, hint);
}

/** A code for marked packets: not 0, which every unmarked packet has. */
export function readCode(text: string): Reading<Dscp> {
	const reading = readDscp(text);
	if (!reading.ok) return { ...reading, message: reading.message.replace("0-63", "1-63") };
	if (reading.value !== 0) return reading;
	return bad("DSCP 0 cannot stand for a VIP: unmarked packets carry it", "choose 1-63", "CONFIG_DSCP_RANGE");
}

/** The address of a real server: one that packets can be routed to. */
export function readRealAddress(text: string): Reading<Address> {
	const address = parseAddress(text);
	if (address === undefined) {
		const bare = text.includes("/") ? parseAddress(text.slice(0, text.indexOf("/"))) : undefined;
		return bad(
			`"${text}" is not an IPv4 or IPv6 address`,
			bare === undefined ? undefined : `write ${bare.text}: a real server is one address`,
		);
	}
	const reserved = reservedKind(address);
	return reserved === undefined ? good(address) : bad(`${text} is ${reserved}, not a real server's address`);
}

export const PATH_PATTERN = /^\/[!-~]*$/;

/** The path of a request, as a client writes it after the host. */
export function readRequestPath(text: string): Reading<string> {
	if (PATH_PATTERN.test(text)) return good(text);
	const start = text.startsWith("/") ? undefined : `write /${text}`;
	return bad(`"${text}" is not a request path, expected / and printable ASCII without blanks`, start);
}

/** A name or an address, with or without a port, as in a URL (RFC 3986, section 3.2.2); or a bare IPv6 address. */
export const HOST_PATTERN =
	/^([A-Za-z0-9._~!$&'()*+,;=%-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)$/;

/** The Host header of a request. */
export function readRequestHost(text: string): Reading<string> {
	if (HOST_PATTERN.test(text)) return good(text);
	const ascii = /^[^\s/:[\]]+$/.test(text) ? domainToASCII(text) : "";
	return bad(
		`${JSON.stringify(text)} is not a host, expected a name or an address, with or without a port`,
		HOST_PATTERN.test(ascii) ? `write ${ascii}` : undefined,
	);
}

/** The program of a command, or one of its arguments. The kernel ends them at a NUL character. */
export function readCommandWord(text: string): Reading<string> {
	if (!text.includes("\0")) return good(text);
	return bad(`${JSON.stringify(text)} has a NUL character, which a program or its arguments cannot have`);
}

export function readServicePort(text: string): Reading<Port | "any"> {
	if (text === "any") return good("any");
	const port = readPort(text);
	if (port.ok) return port;
	const several = /^[0-9]+ *[-,:] *[0-9]+$/.test(text);
	return bad(
		`"${text}" is not a port, expected 1-${MAX_PORT} or any`,
		several ? "give each port its own service, or use port: any" : undefined,
	);
}

/** A protocol that a director can balance. */
export function readBalancedProtocol(text: string): Reading<BalancedProtocol> {
	const protocol = BALANCED_PROTOCOLS.find((one) => one === text);
	if (protocol !== undefined) return good(protocol);
	return bad(`"${text}" cannot be balanced, expected ${BALANCED_PROTOCOLS.join(" or ")}`);
}

export function readWeight(text: string): Reading<number> {
	if (/^[0-9]{1,4}$/.test(text) && Number(text) <= MOST_WEIGHT) return good(Number(text));
	return bad(`"${text}" is not a weight, expected 0-${MOST_WEIGHT}`);
}

/** Text, or bytes as `0x` followed by hexadecimal digits. */
export function readPayload(text: string): Reading<Uint8Array> {
	if (!text.startsWith("0x")) return good(new TextEncoder().encode(text));
	if (!/^0x([0-9a-fA-F]{2})+$/.test(text)) return bad(`"${text}" is not 0x and pairs of hexadecimal digits`);
	return good(Uint8Array.from(Buffer.from(text.slice(2), "hex")));
}

/** An HTTP status code. */
export function readStatus(text: string): Reading<number> {
	if (/^[1-5][0-9]{2}$/.test(text)) return good(Number(text));
	return bad(`"${text}" is not an HTTP status code, expected 100-599`);
}
