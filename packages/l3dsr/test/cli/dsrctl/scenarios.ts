/** The scenarios for the real kernel, in `raw` and in `mangle`; TABLE stands for the table. */
import type { Scenario } from "./transcript.ts";

/** Check, start, check, start again, stop. */
const LIFE = [
	"dsrctl -f c.conf status",
	"dsrctl -f c.conf start",
	"dsrctl -f c.conf -a status",
	"dsrctl -f c.conf check",
	"dsrctl -f c.conf start",
	"rules",
	"dsrctl -f c.conf stop",
	"rules",
	"addresses",
];

const BOTH = "192.0.2.10=28\n192.0.2.11\n192.0.2.12=0x1d\n2001:db8::aa1=29\n2001:db8::aa2\n";

function life(title: string, text: string): Scenario {
	return { title, files: { "c.conf": text }, steps: LIFE };
}

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
	// Valid configurations
	"ipv4-l3dsr": life("one IPv4 L3DSR service", "192.0.2.10=28\n"),
	"ipv4-l2dsr": life("one IPv4 L2DSR service", "192.0.2.11\n"),
	"ipv6-l3dsr": life("one IPv6 L3DSR service", "2001:db8::aa1=29\n"),
	"ipv6-l2dsr": life("one IPv6 L2DSR service", "2001:db8::aa1\n"),
	"both-families": life("L3DSR and L2DSR, IPv4 and IPv6", BOTH),
	"stopped-twice": {
		title: "a stop is silent, also where nothing runs",
		files: { "c.conf": BOTH },
		steps: ["stop", "start", "stop", "check", "stop", "status"].map((action) => `dsrctl -f c.conf ${action}`),
	},
	"dscp-notations": life(
		"decimal, octal and hex codes, shown as written",
		"192.0.2.1=7\n192.0.2.2=014\n192.0.2.3=0x0d\n192.0.2.4=0X3F\n192.0.2.5=0\n2001:db8::1=014\n",
	),
	layout: life(
		"blanks, tabs, comments, empty lines and no newline at the end",
		"# VIPs of web\n\n \t192.0.2.10\t=  28 # www\n   #\n\t192.0.2.11  \n192.0.2.12=1#=2",
	),
	"ipv6-notations": life(
		"IPv6 in other spellings than the kernel's, shown as written",
		"2001:DB8:0:0::AA1=1\n2001:0db8::0002=2\n",
	),
	"ipv6-ending-in-1": life(
		"IPv6 VIPs whose text ends in ::1, which the original never saw as started",
		"2001:db8::1=1\n2001:db8:1::1=2\nfd00::1\n",
	),
	"host-names": life(
		"host names, taken at their IPv4 address",
		"www.dsr.test=28\nftp.dsr.test\n192.0.2.82=29\n",
	),
	"one-vip-many-codes": life(
		"one VIP under several codes, and without one",
		"192.0.2.10=1\n192.0.2.10=2\n192.0.2.10\n2001:db8::1=3\n2001:db8::1=4\n",
	),
	"one-code-two-families": life("one code for a VIP of each family", "192.0.2.10=10\n2001:db8::1=0xa\n"),
	"said-twice": life("a service that stands twice, in two spellings", "2001:DB8::5=10\n2001:db8:0::5=012\n"),
	"empty-file": {
		title: "a file without services",
		files: { "c.conf": "# nothing\n\n" },
		steps: ["status", "check", "start", "stop", "restart", "-a status"].map(
			(args) => `dsrctl -f c.conf ${args}`,
		),
	},
	"no-such-thing-as-null": {
		title: "/dev/null as the file",
		steps: ["dsrctl -f /dev/null status", "dsrctl -f /dev/null check", "dsrctl -f /dev/null -a stop"],
	},
	directory: {
		title: "all *.conf of a directory in order, other names and hidden ones ignored",
		files: {
			"dsr d/b.conf": "192.0.2.2=2\n",
			"dsr d/A one.conf": "192.0.2.1=1",
			"dsr d/a.conf": "192.0.2.3=3\n",
			"dsr d/c.conf.rpmsave": "nonsense=\n",
			"dsr d/conf": "nonsense=\n",
			"dsr d/.hidden.conf": "nonsense=\n",
		},
		steps: ['dsrctl -d "dsr d" -v -v start', 'dsrctl -d "dsr d" status', 'dsrctl -d "dsr d" stop', "rules"],
	},
	"directory-empty": {
		title: "a directory without configuration files",
		files: { "d/readme": "x\n" },
		steps: ["dsrctl -d d status", "dsrctl -d d check"],
	},
	"default-directory": {
		title: "/etc/dsr.d without options",
		files: { "/etc/dsr.d/web.conf": "192.0.2.10=28\n" },
		steps: ["dsrctl start", "dsrctl status", "dsrctl check", "dsrctl stop", "dsrctl check"],
	},

	// Broken configurations
	"conflict-ipv4": {
		title: "one code for two IPv4 VIPs: nothing starts, the first remains",
		files: { "c.conf": "192.0.2.10=10\n192.0.2.11=0xa\n192.0.2.12=3\n" },
		steps: ["start", "check", "status", "-a status", "stop"].map((args) => `dsrctl -f c.conf ${args}`),
	},
	"conflict-ipv6": {
		title: "one code for two IPv6 VIPs",
		files: { "c.conf": "2001:DB8::1=012\n2001:db8::1=10\n2001:db8::2=10\n" },
		steps: ["start", "status", "check", "rules"].map((args) =>
			args === "rules" ? args : `dsrctl -f c.conf ${args}`,
		),
	},
	"conflict-three": {
		title: "each later VIP under a code conflicts with the first",
		files: { "c.conf": "192.0.2.1=1\n192.0.2.2=01\n192.0.2.3=0x1\n" },
		steps: ["dsrctl -f c.conf status"],
	},
	"conflict-across-files": {
		title: "a conflict between two files names both",
		files: { "d/a.conf": "\n192.0.2.1=1\n", "d/b b.conf": "192.0.2.2=1\n" },
		steps: ["dsrctl -d d status", "dsrctl -d ./d/ start", "dsrctl -d d check"],
	},
	"conflict-host-name": {
		title: "a host name conflicts by its address",
		files: { "c.conf": "www.dsr.test=5\n192.0.2.80=5\nftp.dsr.test=0x5\n" },
		steps: ["dsrctl -f c.conf status", "dsrctl -f c.conf start"],
	},
	"conflict-while-running": {
		title: "stop and restart with a conflict: what remains is stopped, nothing is started",
		files: { "good.conf": "192.0.2.10=10\n", "c.conf": "192.0.2.10=10\n192.0.2.11=10\n" },
		steps: [
			"dsrctl -f good.conf start",
			"dsrctl -f c.conf status",
			"dsrctl -f c.conf restart",
			"dsrctl -f good.conf status",
			"dsrctl -f good.conf start",
			"dsrctl -f c.conf stop",
			"dsrctl -f good.conf status",
		],
	},
	"too-large": {
		title: "a code above 63: nothing starts, its line is left out",
		files: { "c.conf": "192.0.2.10=64\n192.0.2.11=63\n" },
		steps: ["start", "status", "check", "stop", "-a status"].map((args) => `dsrctl -f c.conf ${args}`),
	},
	"too-large-only": {
		title: "no service remains",
		files: { "c.conf": "192.0.2.10=0x40\n2001:db8::1=0100\n" },
		steps: ["start", "status", "check", "stop"].map((args) => `dsrctl -f c.conf ${args}`),
	},
	"too-large-and-conflict": {
		title: "messages in the order of the lines",
		files: { "c.conf": "192.0.2.1=1\n192.0.2.2=1\n192.0.2.3=999\nnowhere.dsr.test=4\n192.0.2.4=1\n" },
		steps: ["dsrctl -f c.conf status", "dsrctl -f c.conf -v check"],
	},
	"unknown-host": {
		title: "a name without an IPv4 address",
		files: { "c.conf": "192.0.2.10=1\nnowhere.dsr.test=2\nsix.dsr.test\n" },
		steps: ["status", "start", "check", "stop"].map((args) => `dsrctl -f c.conf ${args}`),
	},
	"unrecognized-vip": {
		title: "a line that is not a service stops everything",
		files: { "c.conf": "192.0.2.10=1\n192.0.2.300=2\n" },
		steps: ["status", "start", "check", "stop", "restart"].map((args) => `dsrctl -f c.conf ${args}`),
	},
	"unrecognized-dscp": {
		title: "codes that are none",
		files: {
			"a.conf": "192.0.2.10=08\n",
			"b.conf": "192.0.2.10=\n",
			"c.conf": "192.0.2.10=EF\n",
			"d.conf": "192.0.2.10 28\n",
		},
		steps: ["a", "b", "c", "d"].map((name) => `dsrctl -f ${name}.conf start`),
	},
	"unrecognized-after-others": {
		title: "what was found before a line that is not a service is said before it",
		files: { "d/a.conf": "192.0.2.10=64\n", "d/b.conf": "# x\nfe80::1%lo\n192.0.2.11=65\n" },
		steps: ["dsrctl -d d status"],
	},
	"unrecognized-leaves-running": {
		title: "a bad file changes nothing of what runs",
		files: { "good.conf": BOTH, "bad.conf": `${BOTH}oops=\n` },
		steps: [
			"dsrctl -f good.conf start",
			"dsrctl -f bad.conf stop",
			"dsrctl -f bad.conf -a stop",
			"dsrctl -f bad.conf restart",
			"dsrctl -f good.conf check",
		],
	},
	"repeated-lines": {
		title: "a service that stands twice is said, shown once, and started and stopped like any other",
		files: {
			"d/20-a.conf": "# web\n192.0.2.10=28\n192.0.2.11\nwww.dsr.test=1\n",
			"d/30-b.conf": "192.0.2.10=0x1c\n192.0.2.11\n192.0.2.80=1\n192.0.2.10=29\n",
		},
		steps: ["status", "start", "check", "-v check", "status", "-n stop", "restart", "stop"].map(
			(args) => `dsrctl -d d ${args}`,
		),
	},
	"without-configuration": {
		title: "without its configuration nothing is configured: -a still shows and clears what is there",
		steps: [
			"iptables-daddr -t TABLE -A PREROUTING -m dscp --dscp 28 -j DADDR --set-daddr 192.0.2.10",
			"ip address add 192.0.2.10/32 dev lo label lo:1",
			...["-d none", "-f none"].flatMap((from) =>
				["status", "check", "start", "restart", "stop", "-a status", "-a -n stop"].map(
					(args) => `dsrctl ${from} ${args}`,
				),
			),
			"dsrctl -d none -a stop",
			"rules",
			"addresses",
			"dsrctl -f none -a stop",
		],
	},
	"configured-table": {
		title: "-a names the configured table of what is configured and not started",
		files: { "c.conf": "192.0.2.10=28\n192.0.2.11\nwww.dsr.test=1\n" },
		steps: [
			"dsrctl -f c.conf -a status",
			"dsrctl -f c.conf -ax status",
			"dsrctl -f c.conf -x status",
			"iptables-daddr -t raw -A PREROUTING -m dscp --dscp 28 -j DADDR --set-daddr 192.0.2.10",
			"iptables-daddr -t mangle -A PREROUTING -m dscp --dscp 30 -j DADDR --set-daddr 192.0.2.78",
			"dsrctl -f c.conf -a status",
		],
	},
	"missing-file": {
		title: "a file that is not there, or is a directory",
		files: { "d/x": "" },
		steps: ['dsrctl -f "no such.conf" status', "dsrctl -f d start", "dsrctl -f none check"],
	},
	"missing-directory": {
		title: "a directory that is not there, or is a file",
		files: { file: "" },
		steps: [
			"dsrctl -d /no/such status",
			"dsrctl -d file start",
			"dsrctl -d none check",
			"dsrctl -d none -f file status",
		],
	},

	// Partial states
	"partial-rule": {
		title: "a rule without its VIP is completed",
		files: { "c.conf": "192.0.2.10=28\n2001:db8::1=29\n" },
		steps: [
			"iptables-daddr -t TABLE -A PREROUTING -m dscp --dscp 28 -j DADDR --set-daddr 192.0.2.10",
			"ip6tables-daddr -t TABLE -A PREROUTING -m dscp --dscp 29 -j DADDR --set-daddr 2001:db8::1",
			"dsrctl -f c.conf status",
			"dsrctl -f c.conf check",
			"dsrctl -f c.conf -v start",
			"dsrctl -f c.conf check",
		],
	},
	"partial-address": {
		title: "a VIP without its rule is completed, and keeps its label",
		files: { "c.conf": "192.0.2.10=28\n2001:db8::1=29\n" },
		steps: [
			"ip address add 192.0.2.10/32 dev lo label lo:7",
			"ip address add 2001:db8::1/128 dev lo",
			"dsrctl -f c.conf status",
			"dsrctl -f c.conf -v start",
			"dsrctl -f c.conf status",
		],
	},
	"some-started": {
		title: "some of the services run",
		files: { "c.conf": BOTH, "one.conf": "192.0.2.11\n" },
		steps: [
			"dsrctl -f one.conf start",
			"dsrctl -f c.conf status",
			"dsrctl -f c.conf check",
			"dsrctl -f c.conf stop",
			"dsrctl -f c.conf check",
		],
	},
	"partial-stop": {
		title: "a half service is stopped whole",
		files: { "c.conf": "192.0.2.10=28\n192.0.2.11=29\n" },
		steps: [
			"dsrctl -f c.conf start",
			"ip address del 192.0.2.10/32 dev lo",
			"iptables-daddr -t TABLE -D PREROUTING 2",
			"dsrctl -f c.conf status",
			"dsrctl -f c.conf stop",
			"rules",
			"addresses",
		],
	},
	"no-label": {
		title: "a VIP that was added without a label serves, and stop removes it",
		files: { "c.conf": "192.0.2.10=28\n" },
		steps: [
			"ip address add 192.0.2.10/32 dev lo",
			"dsrctl -f c.conf -v start",
			"dsrctl -f c.conf status",
			"dsrctl -f c.conf stop",
			"addresses",
		],
	},
	"free-labels": {
		title: "labels fill the gaps from 1 on",
		files: { "c.conf": "192.0.2.1\n192.0.2.2\n192.0.2.3\n" },
		steps: [
			"ip address add 192.0.2.99/32 dev lo label lo:2",
			"ip address add 192.0.2.98/32 dev lo label lo:web",
			"dsrctl -f c.conf start",
			"dsrctl -f c.conf -a status",
		],
	},

	// Foreign rules and addresses
	"foreign-kept": {
		title: "start and stop leave other rules and addresses alone",
		files: { "c.conf": "192.0.2.10=28\n2001:db8::1=29\n" },
		steps: [
			"ip address add 192.0.2.77/32 dev lo label lo:1",
			"ip address add 2001:db8::77/128 dev lo",
			"iptables-daddr -t TABLE -A PREROUTING -m dscp --dscp 30 -j DADDR --set-daddr 192.0.2.78",
			"iptables-daddr -t TABLE -A PREROUTING -i eth0 -m dscp --dscp 28 -j DADDR --set-daddr 192.0.2.10",
			"iptables-daddr -t mangle -A INPUT -m dscp --dscp 28 -j DADDR --set-daddr 192.0.2.10",
			"iptables-daddr -t raw -A OUTPUT -m dscp --dscp 28 -j DADDR --set-daddr 192.0.2.10",
			"dsrctl -f c.conf start",
			"dsrctl -f c.conf status",
			"rules",
			"dsrctl -f c.conf stop",
			"rules",
			"addresses",
		],
	},
	discovered: {
		title: "pairs, bare addresses and bare rules are discovered",
		files: { "c.conf": "192.0.2.10=28\n192.0.2.11\n" },
		steps: [
			"ip address add 192.0.2.77/32 dev lo label lo:1",
			"iptables-daddr -t TABLE -A PREROUTING -m dscp --dscp 30 -j DADDR --set-daddr 192.0.2.78",
			"ip address add 192.0.2.79/32 dev lo label lo:9",
			"iptables-daddr -t TABLE -A PREROUTING -m dscp --dscp 31 -j DADDR --set-daddr 192.0.2.79",
			"ip address add 2001:db8::79/128 dev lo",
			"ip6tables-daddr -t TABLE -A PREROUTING -m dscp --dscp 31 -j DADDR --set-daddr 2001:db8::79",
			"ip address add 2001:db8::77/128 dev lo",
			"ip address add 127.0.0.53/8 dev lo",
			"iptables-daddr -t mangle -A INPUT -m dscp --dscp 1 -j DADDR --set-daddr 192.0.2.1",
			"dsrctl -f c.conf start",
			"dsrctl -f c.conf -a status",
			"dsrctl -f c.conf -ax status",
			"dsrctl -f c.conf status",
			"dsrctl -f /dev/null -a status",
		],
	},
	"discovered-of-configured-vip": {
		title: "a rule for a configured VIP under another code is discovered, its address is not",
		files: { "c.conf": "192.0.2.10=28\n192.0.2.11\n" },
		steps: [
			"dsrctl -f c.conf start",
			"iptables-daddr -t TABLE -A PREROUTING -m dscp --dscp 29 -j DADDR --set-daddr 192.0.2.10",
			"iptables-daddr -t TABLE -A PREROUTING -m dscp --dscp 30 -j DADDR --set-daddr 192.0.2.11",
			"dsrctl -f c.conf -a status",
			"dsrctl -f c.conf stop",
			"dsrctl -f c.conf -a status",
		],
	},
	"discovered-other-rules": {
		title: "rules with other matches are discovered, and belong to no service",
		files: { "c.conf": "192.0.2.10=28\n" },
		steps: [
			"iptables-daddr -t TABLE -A PREROUTING -p tcp -m dscp --dscp 28 -j DADDR --set-daddr 192.0.2.10",
			"iptables-daddr -t TABLE -A PREROUTING -m dscp ! --dscp 28 -j DADDR --set-daddr 192.0.2.20",
			"iptables-daddr -t TABLE -A PREROUTING -m mark --mark 1 -j DADDR --set-daddr 192.0.2.21",
			"iptables-daddr -t TABLE -A PREROUTING -m dscp --dscp 3 -m comment --comment web -j DADDR --set-daddr 192.0.2.22",
			"dsrctl -f c.conf -a status",
			"dsrctl -f c.conf -a stop",
			"dsrctl -f c.conf -a status",
		],
	},
	"discovered-on-an-interface": {
		title: "a rule for one interface, which the eBPF datapath runs, is discovered, left alone, and cleared",
		files: { "c.conf": "192.0.2.10=28\n" },
		steps: [
			"ip link add v0 type veth peer name v1",
			"ip link set v0 up",
			"iptables-daddr -t TABLE -A PREROUTING -i v0 -m dscp --dscp 28 -j DADDR --set-daddr 192.0.2.10",
			"dsrctl -f c.conf start",
			"dsrctl -f c.conf -a status",
			"dsrctl -f c.conf stop",
			"rules",
			"dsrctl -f c.conf -a stop",
			"rules",
			"ip link delete v0",
		],
	},
	"clear-all": {
		title: "-f /dev/null -a stop clears PREROUTING and lo, and nothing else",
		steps: [
			"ip address add 192.0.2.77/32 dev lo label lo:1",
			"ip address add 192.0.2.78/24 dev lo",
			"ip address add 192.0.2.79/24 dev lo",
			"ip address add 2001:db8::77/64 dev lo",
			"iptables-daddr -t raw -A PREROUTING -m dscp --dscp 30 -j DADDR --set-daddr 192.0.2.78",
			"iptables-daddr -t mangle -A PREROUTING -p udp -j DADDR --set-daddr 192.0.2.79",
			"ip6tables-daddr -t mangle -A PREROUTING -m dscp --dscp 30 -j DADDR --set-daddr 2001:db8::78",
			"iptables-daddr -t mangle -A INPUT -m dscp --dscp 30 -j DADDR --set-daddr 192.0.2.78",
			"iptables-daddr -t raw -A OUTPUT -m dscp --dscp 30 -j DADDR --set-daddr 192.0.2.78",
			"dsrctl -f /dev/null stop",
			"dsrctl -f /dev/null -a stop",
			"rules",
			"addresses",
			"dsrctl -f /dev/null -a status",
		],
	},
	"nothing-at-all": {
		title: "nothing configured and nothing there",
		files: { "c.conf": "" },
		steps: ["dsrctl -f c.conf -a status", "dsrctl -f c.conf -ax status"],
	},
	duplicates: {
		title: "rules that exist more than once are reported, and stop removes each",
		files: { "c.conf": "192.0.2.10=0x1c\n2001:DB8::1=29\n" },
		steps: [
			...[1, 2, 3].map(
				() => "iptables-daddr -t TABLE -A PREROUTING -m dscp --dscp 28 -j DADDR --set-daddr 192.0.2.10",
			),
			...[1, 2].map(
				() => "ip6tables-daddr -t TABLE -A PREROUTING -m dscp --dscp 29 -j DADDR --set-daddr 2001:db8::1",
			),
			...[1, 2].map(
				() => "iptables-daddr -t TABLE -A PREROUTING -m dscp --dscp 30 -j DADDR --set-daddr 192.0.2.78",
			),
			"dsrctl -f c.conf status",
			"dsrctl -f c.conf start",
			"dsrctl -f c.conf -a status",
			"dsrctl -f c.conf -x status",
			"dsrctl -f c.conf stop",
			"rules",
		],
	},
	"both-tables": {
		title: "a rule in the table that is not configured serves too, and stop removes it",
		files: { "c.conf": "192.0.2.10=28\n192.0.2.11=29\n192.0.2.12=30\n" },
		steps: [
			"iptables-daddr -t raw -A PREROUTING -m dscp --dscp 28 -j DADDR --set-daddr 192.0.2.10",
			"iptables-daddr -t mangle -A PREROUTING -m dscp --dscp 29 -j DADDR --set-daddr 192.0.2.11",
			"iptables-daddr -t raw -A PREROUTING -m dscp --dscp 30 -j DADDR --set-daddr 192.0.2.12",
			"iptables-daddr -t mangle -A PREROUTING -m dscp --dscp 30 -j DADDR --set-daddr 192.0.2.12",
			"dsrctl -f c.conf start",
			"dsrctl -f c.conf -a status",
			"dsrctl -f c.conf check",
			"dsrctl -f c.conf stop",
			"rules",
		],
	},
	"commented-rule": {
		title: "a rule with a comment is the service's",
		files: { "c.conf": "192.0.2.10=28\n" },
		steps: [
			'iptables-daddr -t TABLE -A PREROUTING -m comment --comment "web of 2019" -m dscp --dscp 28 -j DADDR --set-daddr 192.0.2.10',
			"dsrctl -f c.conf -v start",
			"dsrctl -f c.conf check",
			"dsrctl -f c.conf stop",
			"rules",
		],
	},

	// IPv6 disabled
	"ipv6-disabled": {
		title: "IPv6 services are shown as stopped and never started, without an error",
		files: { "c.conf": "192.0.2.10=28\n2001:db8::1=28\n2001:db8::2\n", "six.conf": "2001:db8::1=28\n" },
		steps: [
			"sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
			"dsrctl -f c.conf start",
			"dsrctl -f c.conf status",
			"dsrctl -f c.conf check",
			"rules",
			"dsrctl -f c.conf restart",
			"dsrctl -f c.conf stop",
			"rules",
			"dsrctl -f six.conf start",
			"dsrctl -f six.conf check",
		],
	},
	"ipv6-disabled-later": {
		title: "IPv6 is disabled while its services run: shown as stopped, and stop removes their rules",
		files: { "c.conf": "192.0.2.10=28\n2001:db8::1=28\n" },
		steps: [
			"dsrctl -f c.conf start",
			"sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
			"dsrctl -f c.conf -a status",
			"dsrctl -f c.conf start",
			"dsrctl -f c.conf stop",
			"rules",
		],
	},

	// Options
	insert: {
		title: "-i puts each rule at the top",
		files: { "c.conf": "192.0.2.1=1\n192.0.2.2=2\n" },
		steps: [
			"iptables-daddr -t TABLE -A PREROUTING -m dscp --dscp 30 -j DADDR --set-daddr 192.0.2.78",
			"dsrctl -f c.conf -iv start",
			"rules",
		],
	},
	"dry-run": {
		title: "-n changes nothing, and says with -v what it would",
		files: { "c.conf": "192.0.2.1=1\n2001:db8::1=2\n" },
		steps: [
			"dsrctl -f c.conf -n start",
			"dsrctl -f c.conf -nv start",
			"dsrctl -f c.conf status",
			"dsrctl -f c.conf start",
			"dsrctl -f c.conf -n -v stop",
			"dsrctl -f c.conf -vn restart",
			"dsrctl -f c.conf -n check",
			"dsrctl -f c.conf -n -a stop",
			"dsrctl -f c.conf -n status",
		],
	},
	restart: {
		title: "restart stops and starts: duplicates go, labels are given anew",
		files: { "c.conf": "192.0.2.1=1\n192.0.2.2=2\n" },
		steps: [
			"ip address add 192.0.2.2/32 dev lo label lo:5",
			...[1, 2].map(
				() => "iptables-daddr -t TABLE -A PREROUTING -m dscp --dscp 2 -j DADDR --set-daddr 192.0.2.2",
			),
			"dsrctl -f c.conf start",
			"dsrctl -f c.conf status",
			"dsrctl -f c.conf restart",
			"dsrctl -f c.conf status",
			"dsrctl -f c.conf -kv -s 1:2 restart",
		],
	},
	"restart-all": {
		title: "restart -a clears what is not configured",
		files: { "c.conf": "192.0.2.1=1\n" },
		steps: [
			"ip address add 192.0.2.77/32 dev lo label lo:1",
			"iptables-daddr -t TABLE -A PREROUTING -m dscp --dscp 30 -j DADDR --set-daddr 192.0.2.78",
			"dsrctl -f c.conf -a restart",
			"dsrctl -f c.conf -a status",
		],
	},
	"failing-start": {
		title: "a start that the kernel refuses half-way puts back what it found",
		files: { "c.conf": "192.0.2.10=28\n2001:db8::1=28\nff02::1=29\n192.0.2.11\n" },
		steps: [
			"iptables-daddr -t TABLE -A PREROUTING -m dscp --dscp 28 -j DADDR --set-daddr 192.0.2.10",
			"ip address add 192.0.2.77/32 dev lo label lo:1",
			"dsrctl -f c.conf start",
			"dsrctl -f c.conf status",
			"rules",
			"addresses",
		],
	},
	"bad-command-lines": {
		title: "command lines that cannot be read",
		files: { "c.conf": "192.0.2.1=1\n" },
		steps: [
			"dsrctl",
			"dsrctl -a",
			"dsrctl boomer",
			'dsrctl ""',
			"dsrctl -z status",
			"dsrctl -az status",
			"dsrctl --all status",
			"dsrctl -f",
			"dsrctl -ad",
			"dsrctl -s foo start",
			"dsrctl -sfoo start",
			"dsrctl -s 1 start",
			"dsrctl -s .:1 start",
			"dsrctl -s 1:. start",
			"dsrctl -s 1:2:3 start",
			"dsrctl -s -1:2 start",
			"dsrctl -f c.conf -s 0.5:.5 status",
			"dsrctl -fc.conf -s1.:2 status",
			"dsrctl -f c.conf -- status",
			"dsrctl -f c.conf status -a",
			"dsrctl -f c.conf stop -n",
			"dsrctl -f c.conf -",
		],
	},
};
