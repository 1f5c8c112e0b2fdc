/** The lab's story as text. */

import { dscp, formatDscp, isDscp } from "@l3dsr/packet";
import { type Claim, megabytes } from "../lab/claims.ts";
import type { Journey, Reach, Station, Tally, VipTraffic, Volume } from "../lab/evidence.ts";
import { addressOf, HOSTS, type Host, OTHER_DSCP } from "../lab/layout.ts";
import type { RuleCommand } from "../lab/rules.ts";
import type { Chapter } from "../lab/story.ts";
import type { Style } from "./style.ts";
import { formatTable } from "./table.ts";

const ROLES: Readonly<Record<Host, string>> = {
	client: "asks the VIPs",
	router: "forwards; has equal-cost routes for the VIPs to both directors",
	director: "marks DSCP, forwards to a real server; holds no VIP",
	director2: "does the same, and agrees with the other",
	real1: "real server, VIPs on lo",
	real2: "real server, VIPs on lo",
};

/** What was built, before anything is sent. */
export function openingText(style: Style, lab: string, rules: readonly RuleCommand[]): string {
	const hosts = HOSTS.map((host) =>
		host === "router"
			? [host, "", "", ROLES[host]]
			: [host, addressOf(host, "ipv4").text, addressOf(host, "ipv6").text, ROLES[host]],
	);
	const typed =
		rules.length === 0
			? `${style.bold("The real servers have no rules")} (--without-rules)\n`
			: `${style.bold("On each real server")}, where every VIP is an address of lo, these rules were added:\n${rules
					.map(({ program, args }) => `  # ${program} ${args.join(" ")}\n`)
					.join("")}`;
	return [
		`${style.bold("Layer-3 Direct Server Return on one machine")}: lab ${lab}\n\n`,
		"  client ─── router ═══ director    requests: client → VIP, marked with a DSCP by a director\n",
		"             │    │     director2    and routed to a real server's own address\n",
		"          real1  real2               answers:  VIP → client, past the directors\n\n",
		formatTable(["host", "IPv4", "IPv6", ""], hosts, { indent: "  ", header: style.dim }),
		`\n${typed}`,
	].join("");
}

export function chapterText(style: Style, chapter: Chapter): string {
	switch (chapter.kind) {
		case "journeys":
			return chapter.journeys.map((journey) => journeyText(style, journey)).join("");
		case "traffic":
			return trafficText(style, chapter.traffic, chapter.strays.answers);
		case "other-dscp":
			return [
				`\n${style.bold("Packets with another DSCP")}: ${formatDscp(OTHER_DSCP)}, to the real servers' own addresses\n`,
				formatTable(
					["to", "arrived with DSCP", "HTTP", "UDP", "services were asked at"],
					chapter.otherDscp.map(({ reach, dscp: seen }) => [
						reach.address,
						seen.join(", "),
						...reachCells(reach),
						reach.askedAt.join(", "),
					]),
					{ indent: "  ", header: style.dim },
				),
			].join("");
		case "without-rules":
			return [
				`\n${style.bold("The rules removed, and restored")}\n`,
				formatTable(
					["VIP", "without: HTTP", "UDP", "datagram answered from", "again: HTTP", "UDP"],
					chapter.withoutRules.map((without, index) => {
						const again = chapter.rulesAgain[index];
						return [
							without.address,
							...reachCells(without),
							without.udpPeer ?? "nowhere",
							...(again === undefined ? [] : reachCells(again)),
						];
					}),
					{ indent: "  ", header: style.dim },
				),
			].join("");
	}
}

export function verdictText(style: Style, claims: readonly Claim[], seconds: number): string {
	const held = claims.filter((claim) => claim.held).length;
	const lines = claims.map(
		(claim) =>
			`  ${claim.held ? style.good("proved") : style.bad("FAILED")}  ${claim.claim}\n          ${style.dim(claim.evidence)}\n`,
	);
	const summary =
		held === claims.length
			? `${style.good(`All ${held} claims proved`)} in ${seconds.toFixed(1)} s.`
			: `${style.bad(`${claims.length - held} of ${claims.length} claims failed`)} in ${seconds.toFixed(1)} s.`;
	return `\n${style.bold("What was proved")}\n${lines.join("")}\n${summary}\n`;
}

function journeyText(style: Style, { family, vip, failure, server, request, answer }: Journey): string {
	const host = family === "ipv6" ? `[${vip}]` : vip;
	const row = ({ host, at, source, destination, dscp: code }: Station): string[] => [
		host,
		at,
		source,
		destination,
		code === undefined ? "" : codeText(code),
	];
	const end =
		failure === undefined
			? `Answered by ${server ?? "?"}, from ${vip}.`
			: style.bad(`Not answered: ${failure}.`);
	return [
		`\n${style.bold(`GET http://${host}/, hop by hop`)}: the first packet there and the first one back, as captured\n`,
		formatTable(["host", "where", "source", "destination", "DSCP"], [...request, ...answer].map(row), {
			indent: "  ",
			header: style.dim,
		}),
		`  ${end}\n`,
	].join("");
}

function trafficText(style: Style, traffic: readonly VipTraffic[], strays: Volume): string {
	const rows = traffic.map(({ vip, dscp: code, tallies }) => [
		vip,
		String(code),
		tallyText(tallies.http),
		`${tallyText(tallies.download)} (${megabytes(tallies.download.bytes)})`,
		tallyText(tallies.udp),
		tallyText(tallies.fragmented),
		tallyText(tallies.ping),
		`${tallies.http.servers.real1} : ${tallies.http.servers.real2}`,
	]);
	const passed = traffic.map(({ vip, directorIn, directorOut, answers }) => [
		vip,
		volumeText(directorIn),
		volumeText(directorOut),
		volumeText(answers),
	]);
	return [
		`\n${style.bold("Traffic")}: answered of asked; every answer must come from the VIP\n`,
		formatTable(
			["VIP", "DSCP", "HTTP", "download", "UDP", "fragmented", "ping", "HTTP by real1 : real2"],
			rows,
			{ indent: "  ", header: style.dim },
		),
		`\n${style.bold("What passed the directors")}: requests only (answers that it saw: ${volumeText(strays)})\n`,
		formatTable(["VIP", "requests in", "forwarded with the DSCP", "answers, bypassing it"], passed, {
			indent: "  ",
			header: style.dim,
		}),
	].join("");
}

function reachCells({ http, udp }: Reach): string[] {
	return [http ? "answered" : "no", udp ? "answered" : "no"];
}

function tallyText({ asked, fromVip }: Tally): string {
	return `${fromVip}/${asked}`;
}

function volumeText({ packets, bytes }: Volume): string {
	return `${packets} packets, ${megabytes(bytes)}`;
}

function codeText(code: number): string {
	return code !== 0 && isDscp(code) ? formatDscp(dscp(code)) : String(code);
}
