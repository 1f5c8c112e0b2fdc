/**
 * Files of probe targets: `RIP VIP DSCP PORT[/tcp|/udp]` on each line, with `icmp` instead of the port, or `-` for an
 * unknown VIP; `#` begins a comment. The same words are options of `l3dsr probe`.
 */
import { type Address, type Dscp, type Port, parseAddress } from "@l3dsr/packet";
import type { ErrorCode, Position } from "../errors.ts";
import type { ProbeProtocol, ProbeTarget } from "../model/probe-target.ts";
import { type Reading, readDscp, readPort, readVip } from "./config/read-value.ts";
import { Problems } from "./problems.ts";

const CODE: ErrorCode = "PROBE_TARGET";

/** Every target of the file, in order. Throws PROBE_TARGET with all lines that cannot be read. */
export function parseProbeTargets(text: string, source: string): ProbeTarget[] {
	const problems = new Problems();
	const targets: ProbeTarget[] = [];
	text.split(/\r?\n/).forEach((whole, index) => {
		const words = [...whole.replace(/#.*/, "").matchAll(/\S+/g)];
		if (words.length === 0) return;
		const at = (word: number): Position => {
			const match = words[word];
			const column = (match?.index ?? whole.trimEnd().length) + 1;
			return { source, line: index + 1, column, length: match?.[0].length ?? 1, text: whole };
		};
		const [real, vip, dscp, service, extra] = words.map(([word]) => word);
		if (real === undefined || vip === undefined || dscp === undefined || service === undefined) {
			problems.add(CODE, "a target has four words: RIP VIP DSCP PORT", at(words.length));
			return;
		}
		if (extra !== undefined) {
			problems.add(CODE, `"${extra}" is one word too many: a target is RIP VIP DSCP PORT`, at(4));
			return;
		}
		const before = problems.count;
		const take = <T>(word: number, reading: Reading<T>): T | undefined =>
			reading.ok ? reading.value : problems.add(CODE, reading.message, at(word), reading.hint);
		const readings = {
			real: take(0, readReal(real)),
			vip: vip === "-" ? undefined : take(1, readVip(vip)),
			dscp: take(2, readDscp(dscp)),
			service: take(3, readService(service)),
		};
		if (problems.count > before) return;
		const target = probeTarget(readings.real, readings.dscp, readings.service, readings.vip);
		if (target === undefined) problems.add(CODE, FAMILIES_DIFFER, at(1));
		else targets.push(target);
	});
	problems.throwIfAny();
	return targets;
}

const FAMILIES_DIFFER =
	"one of RIP and VIP is IPv4, the other IPv6: a packet cannot be rewritten from one to the other";

/** The service to probe at a target. */
export interface ProbedService {
	readonly protocol: ProbeProtocol;
	readonly port?: Port;
}

/** Combines the parsed words; undefined if one is missing, or if VIP and RIP are of different families. */
function probeTarget(
	real: Address | undefined,
	dscp: Dscp | undefined,
	service: ProbedService | undefined,
	vip: Address | undefined,
): ProbeTarget | undefined {
	if (real === undefined || dscp === undefined || service === undefined) return undefined;
	if (vip !== undefined && vip.family !== real.family) return undefined;
	return { real, dscp, ...service, ...(vip === undefined ? {} : { vip }) };
}

/** The options of a command line for one target, as typed. */
export interface TargetWords {
	readonly real: string;
	readonly vip: string | undefined;
	readonly dscp: string;
	/** `80`, `53/udp` or `icmp`. */
	readonly service: string;
}

/** Throws PROBE_TARGET with all faults. */
export function readProbeTarget(words: TargetWords): ProbeTarget {
	const problems = new Problems();
	const take = <T>(reading: Reading<T>): T | undefined =>
		reading.ok ? reading.value : problems.add(CODE, reading.message, undefined, reading.hint);
	const real = take(readReal(words.real));
	const vip = words.vip === undefined ? undefined : take(readVip(words.vip));
	const dscp = take(readDscp(words.dscp));
	const service = take(readService(words.service));
	problems.throwIfAny();
	const target = probeTarget(real, dscp, service, vip);
	if (target === undefined) problems.add(CODE, FAMILIES_DIFFER);
	problems.throwIfAny();
	if (target === undefined) throw new RangeError("a problem was found and not thrown");
	return target;
}

function readReal(text: string): Reading<Address> {
	const address = parseAddress(text);
	if (address !== undefined) return { ok: true, value: address };
	return {
		ok: false,
		code: CODE,
		message: `"${text}" is not an IPv4 or IPv6 address of a real server`,
		hint: "names are not looked up: the answer must be tied to one machine",
	};
}

/** `80`, `80/tcp`, `53/udp`, `icmp`. */
function readService(text: string): Reading<ProbedService> {
	if (text === "icmp") return { ok: true, value: { protocol: "icmp" } };
	const [number = "", protocol = "tcp", ...rest] = text.split("/");
	if ((protocol !== "tcp" && protocol !== "udp") || rest.length > 0) {
		return { ok: false, code: CODE, message: `"${text}" is not a PORT, PORT/tcp, PORT/udp or icmp` };
	}
	const port = readPort(number);
	return port.ok ? { ok: true, value: { protocol, port: port.value } } : port;
}
