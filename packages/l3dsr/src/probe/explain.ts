/** Why the VIP did not answer: conclusions from its answer and from those to further questions. Pure. */

import { errnoName, errnoText } from "@l3dsr/linux";
import { type Address, type Dscp, formatDscp, sameAddress, tosOfDscp } from "@l3dsr/packet";
import type { ProbeTarget } from "../model/probe-target.ts";
import { type Answer, icmpText, isTimeExceeded, judgeAnswer, whoIs } from "./answer.ts";
import { type Connected, explainConnection, explainReflection } from "./explain-connection.ts";
import { type Explanation, joined, NOTHING } from "./explanation.ts";

/** The answers to the further questions. */
export interface Evidence {
	/** To the same probe without a mark. */
	readonly unmarked: Answer;
	/** To an echo request with the same mark. */
	readonly echo: Answer;
	/** For each other code under which another address than the real one answered: the code and that address. */
	readonly rewritten: readonly { readonly dscp: Dscp; readonly by: Address }[];
	/** Routers on the path, nearest first, and the code that each received. */
	readonly hops: readonly { readonly router: Address; readonly dscp: Dscp }[];
	/** The real address belongs to this host, so its packets take another path than a director's. */
	readonly isOwnAddress: boolean;
}

/** True if the VIP answers, but not packets that also have ECN bits. */
export function failsWithEcn(target: ProbeTarget, ecn: Answer | undefined): boolean {
	return ecn !== undefined && "from" in ecn && whoIs(target, ecn.from) !== "vip";
}

/** What was asked in addition to the probe itself. */
export interface Further {
	/** The answer to the same probe with ECN bits. */
	readonly ecn?: Answer;
	readonly evidence?: Evidence;
	/** The connection that followed, if one was asked for and the VIP answered. */
	readonly connected?: Connected;
}

/** The facts and conclusions; without further questions, only what the answer itself shows. */
export function explain(target: ProbeTarget, answer: Answer, further: Further = {}): Explanation {
	const { ecn, evidence, connected } = further;
	const { real } = target;
	const vip = target.vip?.text ?? "the VIP";
	const on = `on ${real.text}`;
	const outcome = judgeAnswer(target, answer);
	switch (outcome) {
		case "vip":
			if (!failsWithEcn(target, ecn)) {
				return joined(
					connected === undefined ? NOTHING : explainConnection(target, connected),
					explainReflection(target, answer),
				);
			}
			return {
				found: [`with ECN bits set (TOS ${hex(tosOfDscp(target.dscp) | 2)}) the real address answers`],
				causes: [
					`the rule compares the whole TOS byte, not the DSCP: connections that use ECN break ${on} as soon as data flows`,
				],
				next: [`${on}, match with -m dscp --dscp ${target.dscp}, which ignores the ECN bits`],
			};
		case "real-address":
			return notRewritten(target, evidence);
		case "other-address": {
			const bound = answeredFromElsewhere(target, evidence);
			if (bound !== undefined) return bound;
			const code = `DSCP ${formatDscp(target.dscp)}`;
			return {
				found: codesOf(target, evidence),
				causes: [
					`a rule ${on} maps ${code} to another VIP than ${vip}, or a rule before it matches the packet first`,
					"the director and the real servers have different tables",
				],
				next: [`${on}: l3dsr show lists the rules in their order`, `compare the director's code for ${vip}`],
			};
		}
		case "refused": {
			if (answer.kind !== "refused" || whoIs(target, answer.from) !== "vip")
				return notRewritten(target, evidence);
			const elsewhere = evidence?.unmarked.kind === "accepted";
			return {
				found: elsewhere ? [`the service answers at ${real.text}, without a mark`] : [],
				causes: [
					`the packet is rewritten, but ${elsewhere ? "the service does not listen on the VIP, only on the real address" : `nothing listens there: the service is down ${on}, or on another port`}`,
				],
				next: [
					`${on}: ss -${target.protocol === "udp" ? "u" : "t"}lnp; let the service listen on ${vip} or on all addresses`,
				],
			};
		}
		case "unreachable":
			return unreachable(target, answer);
		case "silence":
			return silent(target, evidence);
		case "unsent":
			return {
				found: answer.kind === "unsent" ? [`${errnoName(answer.errno)} (${errnoText(answer.errno)})`] : [],
				causes: ["this host has no route there, or a rule in its own OUTPUT forbids it"],
				next: [`ip route get ${real.text}`],
			};
	}
}

const WITHOUT_PKTINFO =
	"it listens on all addresses (0.0.0.0 or ::) and does not ask the kernel for the address of each datagram (IP_PKTINFO)";

/** The datagram was rewritten, but its answer comes from another address of the server. */
function answeredFromElsewhere(target: ProbeTarget, evidence: Evidence | undefined): Explanation | undefined {
	const { real, protocol, vip } = target;
	const echo = evidence?.echo;
	if (protocol !== "udp" || echo?.kind !== "accepted" || whoIs(target, echo.from) !== "vip") return undefined;
	return {
		found: [`an echo with the same mark is answered by ${echo.from.text}: packets are rewritten`],
		causes: [`the service answers from another address than the one it was contacted at: ${WITHOUT_PKTINFO}`],
		next: [
			`on ${real.text}: ss -ulnp; let the service listen on ${vip?.text ?? echo.from.text} itself, in addition to its other addresses`,
		],
	};
}

/** The real address answered: either the server has no such rule, or the mark did not arrive. */
function notRewritten(target: ProbeTarget, evidence: Evidence | undefined): Explanation {
	const { real, dscp: code } = target;
	const vip = target.vip?.text ?? "a VIP";
	const on = `on ${real.text}`;
	const lost = evidence === undefined ? undefined : lostMark(target, evidence);
	if (lost !== undefined) return lost;
	const bound = answeredFromElsewhere(target, evidence);
	if (bound !== undefined) return bound;
	const found = codesOf(target, evidence);
	const answering =
		evidence?.rewritten.filter(({ by }) => target.vip === undefined || sameAddress(by, target.vip)) ?? [];
	const confused = answering.find(({ dscp: other }) => other === code * 4 || other * 4 === code);
	if (confused !== undefined) {
		const [small, large] = confused.dscp > code ? [code, confused.dscp] : [confused.dscp, code];
		return {
			found,
			causes: [
				`TOS and DSCP are confused: ${large} is the TOS byte of DSCP ${small}, and one side uses one instead of the other`,
			],
			next: [
				`${on}: l3dsr show; the rule says --dscp ${confused.dscp}, this probe (and the director?) DSCP ${formatDscp(code)}`,
			],
		};
	}
	if (answering.length > 0) {
		return {
			found,
			causes: [`the rule ${on} is for another DSCP than ${code}`],
			next: [`make the director and the rule ${on} use the same code`],
		};
	}
	const own = evidence?.isOwnAddress === true;
	return {
		found: own ? [`${real.text} is an address of this host itself`, ...found] : found,
		causes: [
			...(own
				? [
						"packets of this host to itself arrive on lo, where the rules of services do not apply: probe from the director",
					]
				: []),
			`no rule ${on} matches DSCP ${formatDscp(code)}: it is not loaded, or its other conditions do not match`,
			...(target.protocol === "udp"
				? [
						`datagrams are rewritten and echoes are not, and the service answers from ${real.text}: ${WITHOUT_PKTINFO}`,
					]
				: []),
		],
		next: [`${on}: l3dsr status, then l3dsr up (or iptables-daddr -A … -j DADDR --set-daddr=${vip})`],
	};
}

/** Where the mark was changed; undefined if no change was seen. */
function lostMark({ real, dscp: code }: ProbeTarget, { echo, hops }: Evidence): Explanation | undefined {
	const changed = hops.find((hop) => hop.dscp !== code);
	// If an echo request was rewritten, its reply may have no mark; only a reply from the real address tells.
	const reply = echo.kind === "accepted" && sameAddress(echo.from, real) ? echo.dscp : code;
	const arrived = changed?.dscp ?? reply;
	if (arrived === code) return undefined;
	const before = hops.findLast(
		(hop, index) => hop.dscp === code && hops.slice(0, index).every((one) => one.dscp === code),
	);
	const found = [
		...(changed === undefined
			? []
			: [`${changed.router.text} got the packet with DSCP ${formatDscp(changed.dscp)}`]),
		...(before === undefined ? [] : [`${before.router.text} still got it with DSCP ${formatDscp(code)}`]),
		...(reply === code
			? []
			: [`the server answered an echo with DSCP ${formatDscp(reply)}, where ${formatDscp(code)} was sent`]),
	];
	const place =
		changed === undefined
			? `behind ${before === undefined ? "this host" : `${before.router.text}: by that router`} or by a rule on ${real.text} before ours`
			: before === undefined
				? "by this host or the network before the first router"
				: `by ${before.router.text}`;
	return {
		found,
		causes: [`the DSCP is changed on the way: ${place}`],
		next: [
			`let the QoS policy there trust DSCP ${formatDscp(code)}`,
			...(changed === undefined
				? [`on ${real.text}: l3dsr check names rules that write DSCP before ours see it`]
				: []),
		],
	};
}

function unreachable(target: ProbeTarget, answer: Answer): Explanation {
	const { real } = target;
	if (answer.kind !== "icmp") return NOTHING;
	const rewritten = !sameAddress(answer.about, real);
	const said = `${answer.from.text} says: ${icmpText(real.family, answer.type, answer.code)}`;
	if (rewritten) {
		return {
			found: [`${said}, of a packet to ${answer.about.text}`],
			causes: [
				isTimeExceeded(real.family, answer.type)
					? `${real.text} rewrites, but does not hold the VIP: it forwards the packet, which loops`
					: `${real.text} rewrites, but the VIP is not reachable there: not on lo, or filtered`,
			],
			next: [`on ${real.text}: ip address show dev lo; l3dsr up adds the VIP`],
		};
	}
	return {
		found: [said],
		causes: ["the real server is down or has no route, or a filter on the path refuses"],
		next: [`ip route get ${real.text}; look at ${answer.from.text}`],
	};
}

function silent(target: ProbeTarget, evidence: Evidence | undefined): Explanation {
	const { real } = target;
	const vip = target.vip?.text ?? "the VIP";
	const on = `on ${real.text}`;
	const datagrams =
		target.protocol === "udp" ? ["the service does not answer datagrams that it does not understand"] : [];
	const vipMissing = `${real.text} rewrites the packet, but does not hold ${vip} on lo`;
	const filtered = "a filter on the path drops packets with that mark, or answers from the VIP";
	const spoofing = `spoofing protection drops answers from ${vip}: uRPF at the first router after ${real.text}, port security, or the source check of a cloud`;
	const reversePath = `reverse-path filtering ${on} drops packets that arrive on an interface through which this host is not routed`;
	const down = `${real.text} is down or has no route, or a filter drops the packets`;
	if (evidence === undefined) {
		return {
			found: [],
			causes: [...datagrams, vipMissing, reversePath, down],
			next: [`l3dsr probe ${real.text} without --file or --nagios investigates further; ${on}: l3dsr check`],
		};
	}
	const { unmarked, echo } = evidence;
	if (echo.kind === "accepted" && whoIs(target, echo.from) === "vip" && target.protocol !== "icmp") {
		return {
			found: [`an echo with the same mark is answered by ${echo.from.text}`],
			causes: [...datagrams, `a filter drops packets to that port, or the service ${on} hangs`],
			next: [`${on}: check the firewall and the service`],
		};
	}
	if (unmarked.kind === "accepted" || unmarked.kind === "refused") {
		return {
			found: [
				`without a mark, ${unmarked.from.text} answers: the server is up, and only marked packets are lost`,
			],
			causes: [vipMissing, spoofing, filtered],
			next: [
				`${on}: l3dsr check; ip address show dev lo; l3dsr up adds the VIP`,
				`${on}: tcpdump -ni any src ${vip}: packets that leave there but do not arrive are dropped on the path`,
			],
		};
	}
	return {
		found: target.dscp === 0 ? [] : ["no answer without a mark either"],
		causes: [down, reversePath],
		next: [`${on}: l3dsr check; sysctl -a -r '\\.rp_filter$'; nstat -az TcpExtIPReversePathFilter`],
	};
}

/** The codes that the server rewrites. */
function codesOf(target: ProbeTarget, evidence: Evidence | undefined): string[] {
	if (evidence === undefined) return [];
	const { rewritten } = evidence;
	if (rewritten.length === 0) return [`no other address than ${target.real.text} answers to any DSCP`];
	return rewritten.map(({ dscp: code, by }) => {
		const which = target.vip !== undefined && sameAddress(by, target.vip) ? "the VIP " : "";
		return `DSCP ${formatDscp(code)} is answered by ${which}${by.text}`;
	});
}

function hex(byte: number): string {
	return `0x${byte.toString(16).padStart(2, "0")}`;
}
