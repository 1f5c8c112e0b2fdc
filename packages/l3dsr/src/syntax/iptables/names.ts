/**
 * Names of IP protocols and services.
 *
 * Protocol names come from a table here instead of the host's /etc/protocols, so that a rule has the same spelling on
 * every host (its text is stored in the kernel and compared). Service names are only for people: `-S` and `-save`
 * print numbers, and the caller passes the content of /etc/services.
 */

import { parseStrtoul } from "../numbers.ts";

/** Name as iptables prints it → number; Debian's /etc/protocols (netbase), which follows IANA. */
const PROTOCOLS: Readonly<Record<string, number>> = {
	icmp: 1,
	igmp: 2,
	ggp: 3,
	ipencap: 4,
	st: 5,
	tcp: 6,
	egp: 8,
	igp: 9,
	pup: 12,
	udp: 17,
	hmp: 20,
	"xns-idp": 22,
	rdp: 27,
	"iso-tp4": 29,
	dccp: 33,
	xtp: 36,
	ddp: 37,
	"idpr-cmtp": 38,
	ipv6: 41,
	"ipv6-route": 43,
	"ipv6-frag": 44,
	idrp: 45,
	rsvp: 46,
	gre: 47,
	esp: 50,
	ah: 51,
	skip: 57,
	"ipv6-icmp": 58,
	"ipv6-nonxt": 59,
	"ipv6-opts": 60,
	rspf: 73,
	vmtp: 81,
	eigrp: 88,
	ospf: 89,
	"ax.25": 93,
	ipip: 94,
	etherip: 97,
	encap: 98,
	pim: 103,
	ipcomp: 108,
	vrrp: 112,
	l2tp: 115,
	isis: 124,
	sctp: 132,
	fc: 133,
	"mobility-header": 135,
	udplite: 136,
	"mpls-in-ip": 137,
	manet: 138,
	hip: 139,
	shim6: 140,
	wesp: 141,
	rohc: 142,
	ethernet: 143,
};

/**
 * Further spellings that are accepted: iptables' own, the aliases of /etc/protocols, and the names of IANA and of
 * other distributions' /etc/protocols. A rule is printed with the name above, or the number.
 */
const PROTOCOL_ALIASES: Readonly<Record<string, number>> = {
	icmpv6: 58,
	"ipv6-mh": 135,
	mh: 135,
	all: 0,
	ip: 0,
	hopopt: 0,
	"ip-encap": 4,
	ipv4: 4,
	cbt: 7,
	"bbn-rcc-mon": 10,
	"nvp-ii": 11,
	argus: 13,
	emcon: 14,
	xnet: 15,
	chaos: 16,
	mux: 18,
	"dcn-meas": 19,
	prm: 21,
	"trunk-1": 23,
	"trunk-2": 24,
	"leaf-1": 25,
	"leaf-2": 26,
	irtp: 28,
	netblt: 30,
	"mfe-nsp": 31,
	"merit-inp": 32,
	"3pc": 34,
	idpr: 35,
	"tp++": 39,
	il: 40,
	sdrp: 42,
	dsr: 48,
	bna: 49,
	"ipsec-esp": 50,
	"ipv6-crypt": 50,
	"ipsec-ah": 51,
	"ipv6-auth": 51,
	"i-nlsp": 52,
	swipe: 53,
	narp: 54,
	mobile: 55,
	tlsp: 56,
	cftp: 62,
	"sat-expak": 64,
	kryptolan: 65,
	rvd: 66,
	ippc: 67,
	"sat-mon": 69,
	visa: 70,
	ipcv: 71,
	cpnx: 72,
	cphb: 73,
	wsn: 74,
	pvp: 75,
	"br-sat-mon": 76,
	"sun-nd": 77,
	"wb-mon": 78,
	"wb-expak": 79,
	"iso-ip": 80,
	"secure-vmtp": 82,
	vines: 83,
	ttp: 84,
	"nsfnet-igp": 85,
	dgp: 86,
	tcf: 87,
	ospfigp: 89,
	ospfgip: 89,
	"sprite-rpc": 90,
	larp: 91,
	mtp: 92,
	micp: 95,
	"scc-sp": 96,
	gmtp: 100,
	ifmp: 101,
	pnni: 102,
	aris: 104,
	scps: 105,
	qnx: 106,
	"a/n": 107,
	snp: 109,
	"compaq-peer": 110,
	"ipx-in-ip": 111,
	pgm: 113,
	ddx: 116,
	iatp: 117,
	stp: 118,
	srp: 119,
	uti: 120,
	smp: 121,
	sm: 122,
	ptp: 123,
	"isis-over-ipv4": 124,
	fire: 125,
	crtp: 126,
	crudp: 127,
	sscopmce: 128,
	iplt: 129,
	sps: 130,
	pipe: 131,
	"rsvp-e2e-ignore": 134,
};

const NAME_OF_PROTOCOL: ReadonlyMap<number, string> = new Map(
	Object.entries(PROTOCOLS).map(([name, number]) => [number, name]),
);

/** Every name that `-p` accepts, for suggestions. */
export const PROTOCOL_NAMES: readonly string[] = [
	...Object.keys(PROTOCOLS),
	...Object.keys(PROTOCOL_ALIASES),
];

/** 0–255 by number (any base of strtoul) or name, ignoring case; 0 is "all"; else undefined. */
export function protocolNumber(text: string): number | undefined {
	const number = parseStrtoul(text);
	if (number !== undefined) return number <= 255 ? number : undefined;
	const name = text.toLowerCase();
	if (Object.hasOwn(PROTOCOLS, name)) return PROTOCOLS[name];
	return Object.hasOwn(PROTOCOL_ALIASES, name) ? PROTOCOL_ALIASES[name] : undefined;
}

/** The name that iptables prints without -n, or the number as text. */
export function protocolName(number: number): string {
	return NAME_OF_PROTOCOL.get(number) ?? String(number);
}

/**
 * iptables' own table (xtables_chain_protos). It uses only this table with -n, and when -v prints a rule that a
 * command adds. Only 1.8.9 and 1.8.10 print numbers with -n; earlier and later versions print these names.
 */
const BUILT_IN_NAMES: ReadonlyMap<number, string> = new Map([
	[0, "all"],
	[1, "icmp"],
	[6, "tcp"],
	[17, "udp"],
	[50, "esp"],
	[51, "ah"],
	[58, "ipv6-icmp"],
	[132, "sctp"],
	[135, "mobility-header"],
	[136, "udplite"],
]);

/** The name that iptables prints without reading /etc/protocols, or the number as text. */
export function builtInProtocolName(number: number): string {
	return BUILT_IN_NAMES.get(number) ?? String(number);
}

/** Looks up services, to read `--dport http` and to print without -n. */
export interface Services {
	/** Port of a service; with `protocol` undefined, the first entry with that name. */
	port(name: string, protocol: string | undefined): number | undefined;
	name(port: number, protocol: string | undefined): string | undefined;
	readonly names: readonly string[];
}

/** No service names: ports are numbers. */
export const NO_SERVICES: Services = { port: () => undefined, name: () => undefined, names: [] };

/** Parses /etc/services (services(5)); skips lines that it cannot read, like libc. */
export function parseServices(text: string): Services {
	const ports = new Map<string, number>();
	const names = new Map<string, string>();
	for (const line of text.split("\n")) {
		const [name, entry, ...aliases] = line.replace(/#.*/, "").trim().split(/\s+/);
		const [number, protocol] = entry?.split("/") ?? [];
		const port = Number(number);
		if (!name || !protocol || !Number.isInteger(port) || port > 65535) continue;
		for (const key of [`${port}/${protocol}`, `${port}`]) if (!names.has(key)) names.set(key, name);
		for (const alias of [name, ...aliases]) {
			for (const key of [`${alias}/${protocol}`, alias]) if (!ports.has(key)) ports.set(key, port);
		}
	}
	const key = (what: string | number, protocol: string | undefined): string =>
		protocol === undefined ? `${what}` : `${what}/${protocol}`;
	return {
		port: (name, protocol) => ports.get(key(name, protocol)),
		name: (port, protocol) => names.get(key(port, protocol)),
		names: [...ports.keys()].filter((name) => !name.includes("/")),
	};
}
