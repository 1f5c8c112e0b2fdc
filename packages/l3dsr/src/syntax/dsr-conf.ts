/**
 * `/etc/dsr.d/*.conf`: one service per line, `VIP=DSCP` (L3DSR) or `VIP` (L2DSR).
 *
 * Pure. Reading takes two steps, because a VIP may be a host name: `parseDsrConf` reads a file; after all names were
 * looked up, `collectServices` turns the entries of all files into services and finds the faults. The messages keep
 * dsrctl's wording, because scripts match it.
 */
import { type Address, type Dscp, dscp, type Family, isDscp, parseIpv4, parseIpv6 } from "@l3dsr/packet";
import type { WrittenService } from "../model/service.ts";
import type { Collation } from "./collation.ts";
import { LIMITS } from "./limits.ts";
import { parseStrtoul } from "./numbers.ts";
import { shellWord } from "./shell-word.ts";

/** A line of a configuration file. */
export interface ConfPlace {
	/** The file's name as given. */
	readonly file: string;
	/** Counts from 1. */
	readonly line: number;
}

export type DsrConfEntry = ConfPlace &
	(
		| {
				readonly kind: "service";
				readonly vipText: string;
				/** Undefined if `vipText` is a host name. */
				readonly vip: Address | undefined;
				readonly dscpText?: string;
				readonly dscp?: Dscp;
		  }
		| { readonly kind: "too-large"; readonly dscpText: string }
		| { readonly kind: "unrecognized"; readonly hint?: string }
		/** More services than LIMITS.services. */
		| { readonly kind: "too-many" }
	);

export type PlacedDsrService = WrittenService & ConfPlace;

export type DsrConfFinding =
	| (ConfPlace & { readonly kind: "unrecognized"; readonly hint?: string })
	| (ConfPlace & { readonly kind: "too-many" })
	| (ConfPlace & { readonly kind: "too-large"; readonly dscpText: string })
	| (ConfPlace & { readonly kind: "unresolved"; readonly name: string })
	| {
			readonly kind: "conflict";
			/** As written in the later line. */
			readonly dscpText: string;
			readonly previous: ConfPlace & { readonly vipText: string };
			readonly duplicate: ConfPlace & { readonly vipText: string };
	  }
	| {
			/** A service that an earlier line already has; it counts once and is not a fault. */
			readonly kind: "repeated";
			readonly type: "L3DSR" | "L2DSR";
			/** As written in the later line; for a host name, its address. */
			readonly vipText: string;
			readonly previous: ConfPlace;
			readonly duplicate: ConfPlace;
	  }
	/** One of the files of a folder. */
	| { readonly kind: "unreadable"; readonly file: string }
	/** The whole configuration is missing, so nothing is configured. */
	| { readonly kind: "no-file"; readonly file: string }
	| { readonly kind: "no-directory"; readonly directory: string };

/** Findings after which nothing is done. */
export type FatalFinding = Extract<DsrConfFinding, { kind: "unrecognized" | "too-many" | "unreadable" }>;

export function isFatal(finding: DsrConfFinding): finding is FatalFinding {
	return finding.kind === "unrecognized" || finding.kind === "too-many" || finding.kind === "unreadable";
}

/** There is no configuration, so there is no fault: this is reported, and the configuration counts as empty. */
export function isAbsence(finding: DsrConfFinding): boolean {
	return finding.kind === "no-file" || finding.kind === "no-directory";
}

/** A finding that prevents a line, and so every `start`, from being carried out. */
export function isFault(finding: DsrConfFinding): boolean {
	return finding.kind !== "repeated" && !isAbsence(finding);
}

/** The files to read in a folder, in the order in which the shell expands `DIRECTORY/*.conf`; no hidden ones. */
export function confFilesOf(directory: string, names: readonly string[], collation: Collation): string[] {
	return names
		.filter((name) => name.endsWith(".conf") && !name.startsWith("."))
		.sort(collation)
		.map((name) => `${directory}/${name}`);
}

/** `VIP` or `VIP=DSCP`, with blanks and tabs anywhere except inside the two. */
const SERVICE_LINE = /^[ \t]*([^ \t=]+)[ \t]*(?:=[ \t]*([^ \t=]+)[ \t]*)?$/;

/** The entries of a file, line by line, up to and including the first line that cannot be recognised. */
export function parseDsrConf(file: string, text: string): DsrConfEntry[] {
	const entries: DsrConfEntry[] = [];
	for (const [index, line] of text.split("\n").entries()) {
		const [content = ""] = line.split("#", 1);
		// Lines that are blank, apart from what an editor adds, are ignored.
		if (/^\ufeff?[ \t]*\r?$/.test(content)) continue;
		const place = { file, line: index + 1 };
		const entry: DsrConfEntry =
			entries.length >= LIMITS.services ? { kind: "too-many", ...place } : parseLine(place, content);
		entries.push(entry);
		if (entry.kind === "too-many") break;
		if (entry.kind === "unrecognized") break;
	}
	return entries;
}

/** The host names whose IPv4 addresses `collectServices` needs, each once. */
export function hostNamesOf(entries: readonly DsrConfEntry[]): string[] {
	const names = entries.flatMap((entry) =>
		entry.kind === "service" && entry.vip === undefined ? [entry.vipText] : [],
	);
	return [...new Set(names)];
}

/** The services without faults in the order of their lines, and the findings in the same order. */
export function collectServices(
	entries: readonly DsrConfEntry[],
	addressOf: (name: string) => Address | undefined,
): { readonly services: readonly PlacedDsrService[]; readonly findings: readonly DsrConfFinding[] } {
	const services: PlacedDsrService[] = [];
	const findings: DsrConfFinding[] = [];
	const firstWith = new Map<string, ConfPlace & { vip: Address; vipText: string }>();
	const firstLike = new Map<string, ConfPlace>();
	for (const entry of entries) {
		const { file, line } = entry;
		if (entry.kind !== "service") {
			findings.push(entry);
			continue;
		}
		const { vipText, dscpText } = entry;
		const vip = entry.vip ?? addressOf(vipText);
		if (vip === undefined) {
			findings.push({ kind: "unresolved", file, line, name: vipText });
			continue;
		}
		if (entry.dscp !== undefined && dscpText !== undefined) {
			const key = codeKey(vip.family, entry.dscp);
			const previous = firstWith.get(key);
			if (previous !== undefined && previous.vip.text !== vip.text) {
				findings.push({ kind: "conflict", dscpText, previous, duplicate: { file, line, vipText } });
				continue;
			}
			if (previous === undefined) firstWith.set(key, { file, line, vip, vipText });
		}
		const key = `${vip.text} ${entry.dscp ?? ""}`;
		const same = firstLike.get(key);
		if (same !== undefined) {
			const type = entry.dscp === undefined ? "L2DSR" : "L3DSR";
			const text = entry.vip === undefined ? vip.text : vipText;
			findings.push({
				kind: "repeated",
				type,
				vipText: text,
				previous: same,
				duplicate: { file, line },
			});
			continue;
		}
		firstLike.set(key, { file, line });
		services.push({
			file,
			line,
			service: {
				name: vipText,
				vip,
				clearDscp: false,
				...(entry.dscp === undefined ? {} : { selection: { dscp: entry.dscp } }),
			},
			vipText,
			...(dscpText === undefined ? {} : { dscpText }),
		});
	}
	return { services, findings };
}

/** The finding in dsrctl's words, without a trailing newline. */
export function describeFinding(finding: DsrConfFinding): string {
	switch (finding.kind) {
		case "unrecognized":
			return `Invalid config line at ${finding.file}, line ${finding.line}.  Unrecognized VIP/DSCP.`;
		case "too-many":
			return `Too many DSRs at "${finding.file}", line ${finding.line} (max=${LIMITS.services}).`;
		case "too-large":
			return `Invalid DSCP value at "${finding.file}", line ${finding.line}.  "${finding.dscpText}" too large (max=63).`;
		case "unresolved":
			return `Cannot convert fqdn "${finding.name}" to an IPv4 address.`;
		case "conflict": {
			const { previous, duplicate, dscpText } = finding;
			return [
				`Conflicting DSRs (IP=${previous.vipText}, IP=${duplicate.vipText}) found with DSCP ${dscpText}.`,
				`- Prev: L3DSR at "${previous.file}", line ${previous.line}.`,
				`- Dup:  L3DSR at "${duplicate.file}", line ${duplicate.line}.`,
			].join("\n");
		}
		case "repeated": {
			const { previous, duplicate, type } = finding;
			return [
				`Duplicate DSRs found for ${finding.vipText}.`,
				`- Prev: ${type} at "${previous.file}", line ${previous.line}.`,
				`- Dup:  ${type} at "${duplicate.file}", line ${duplicate.line}.`,
			].join("\n");
		}
		case "unreadable":
		case "no-file":
			return `Cannot read the configuration file (${finding.file}).`;
		case "no-directory":
			return `Cannot find the configuration directory (${finding.directory}).   Is dsrtools installed?`;
	}
}

function parseLine(place: ConfPlace, content: string): DsrConfEntry {
	const short = content.length <= LIMITS.lineLength;
	const [, vipText = "", dscpText] = (short ? SERVICE_LINE.exec(content) : null) ?? [];
	// IPv4 embedded in IPv6 contains a dot; such a VIP has a plainer spelling.
	const vip = vipText.includes(":") && !vipText.includes(".") ? parseIpv6(vipText) : parseIpv4(vipText);
	if (vip === undefined && !isHostName(vipText)) return unrecognized(place, content);
	if (dscpText === undefined) return { kind: "service", ...place, vipText, vip };
	const value = parseStrtoul(dscpText);
	if (value === undefined) return unrecognized(place, content);
	if (!isDscp(value)) return { kind: "too-large", ...place, dscpText };
	return { kind: "service", ...place, vipText, vip, dscpText, dscp: dscp(value) };
}

/** Invisible characters that an editor may have added. */
function unrecognized(place: ConfPlace, content: string): DsrConfEntry {
	const file = shellWord(place.file);
	const hint = content.startsWith("\ufeff")
		? `the file begins with a byte order mark: sed -i '1s/^\\xef\\xbb\\xbf//' ${file}`
		: content.endsWith("\r")
			? `the file has the line ends of Windows: sed -i 's/\\r$//' ${file}`
			: undefined;
	return { kind: "unrecognized", ...place, ...(hint === undefined ? {} : { hint }) };
}

/**
 * RFC 1123 section 2.1 (underscores allowed, as in /etc/hosts). A name cannot end in a numeric label: the resolver
 * would take `10.1` or `0x7f000001` for an address, and not the one that the author meant.
 */
function isHostName(text: string): boolean {
	const labels = text.replace(/\.$/, "").split(".");
	const last = labels.at(-1) ?? "";
	return (
		text.length <= 254 &&
		labels.every((label) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label)) &&
		!/^([0-9]+|0[xX][0-9a-fA-F]*)$/.test(last)
	);
}

function codeKey(family: Family, value: Dscp): string {
	return `${family} ${value}`;
}
