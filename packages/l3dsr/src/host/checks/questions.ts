/** What a host cannot know about itself: a question to the operator, with a way to find out. */
import { OF_LEGACY } from "../legacy-rules.ts";
import { type CheckInput, listed, realInterfaces, titleOf } from "./check.ts";
import { undecidedUdpServers } from "./listeners.ts";

export interface CheckQuestion {
	/** Its topic: `spoofing-protection`. */
	readonly about: string;
	/** A whole question. */
	readonly question: string;
	/** How to find out. */
	readonly how: string;
}

/** The questions for a host with services. */
export function questionsOf(input: CheckInput): CheckQuestion[] {
	const { configuration, facts } = input;
	if (configuration.services.length === 0) return [];
	const vips = listed([...new Set(configuration.services.map(({ vip }) => vip.text))]);
	const ways = listed([...new Set(facts.routes.paths.flatMap(({ wayBack }) => wayBack))]);
	const out = ways === "" ? listed(realInterfaces(input).map(({ name }) => name)) : ways;
	const questions: CheckQuestion[] = [
		{
			about: "spoofing-protection",
			question: `does the network let packets from ${vips} leave by ${out === "" ? "this host" : out} (uRPF of the first router, port security, the source check of a cloud)?`,
			how: "l3dsr probe on a director, against this host",
		},
		{
			about: "path-mtu",
			question: `do ICMP errors for ${vips} (fragmentation needed, packet too big) reach this host from the director?`,
			how: "l3dsr probe --connect --send on a director, for an answer larger than one packet",
		},
	];
	const undecided = undecidedUdpServers(input);
	if (undecided.length > 0) {
		questions.push({
			about: "udp-source",
			question: `do the UDP servers of ${listed(undecided.map(titleOf))}, which listen on all addresses, answer from the VIP? They do so only with IP_PKTINFO`,
			how: "l3dsr probe --udp on a director; let the server listen on the VIP itself",
		});
	}
	if (facts.filters.length > 0) {
		questions.push({
			about: "filters",
			question: `do the rules of ${listed(facts.filters)} let packets to ${vips}, and the answers, pass?`,
			how: `l3dsr probe --connect on a director; ${listingOf(facts.filters)}`,
		});
	}
	if (facts.redirects.length > 0) {
		questions.push({
			about: "redirects",
			question: `do the NAT rules of ${listed(facts.redirects)} send packets to ${vips} to another address or port?`,
			how: `${listingOf(facts.redirects)}; l3dsr probe --connect on a director`,
		});
	}
	if (facts.legacyTables.length > 0) {
		questions.push({
			about: "iptables-legacy",
			question: `what do the rules of iptables-legacy do (${listed(facts.legacyTables)})? l3dsr cannot read them`,
			how: "iptables-legacy-save; ip6tables-legacy-save",
		});
	}
	if (facts.routes.byMark) {
		questions.push({
			about: "marks",
			question:
				"which packets get the marks that routing rules match (ip rule: fwmark)? Routes were looked up without a mark",
			how: "ip rule; nft list ruleset",
		});
	}
	if (facts.routes.unknown.length > 0) {
		questions.push({
			about: "routing-rules",
			question: `which way do answers from ${listed(facts.routes.unknown.map(({ text }) => text))} take? Routing rules depend on the source, and the kernel answers only for addresses that it holds`,
			how: "l3dsr check again after l3dsr up",
		});
	}
	return questions;
}

/** Commands that list the rules of these places. */
function listingOf(places: readonly string[]): string {
	const legacy = places.filter((place) => place.includes(OF_LEGACY));
	return [
		...(legacy.length < places.length ? ["nft list ruleset"] : []),
		...(legacy.some((place) => place.startsWith("table ip ")) ? ["iptables-legacy-save"] : []),
		...(legacy.some((place) => place.startsWith("table ip6 ")) ? ["ip6tables-legacy-save"] : []),
	].join("; ");
}
