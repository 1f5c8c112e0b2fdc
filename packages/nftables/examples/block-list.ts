/**
 * Drops packets from the listed networks and counts them. Run it as root, best in a new network namespace:
 *
 *     unshare --net node block-list.ts 192.0.2.0/24 198.51.100.7/32
 */
import {
	bytesNumber,
	counter,
	dataType,
	field,
	match,
	Nftables,
	NftablesError,
	numberBytes,
	printTable,
	type SetSpec,
	verdict,
} from "@l3dsr/nftables";

const table = { family: "ip", name: "blocklist" } as const;
const blocked: SetSpec = { name: "blocked", key: { type: dataType("ipv4_addr") }, flags: ["interval"] };

/** The first and last address of a network such as `192.0.2.0/24`. */
function rangeOf(prefix: string): { key: Uint8Array; last: Uint8Array } {
	const [address = "", length = "32"] = prefix.split("/");
	const key = Uint8Array.from(address.split(".").map(Number));
	const first = bytesNumber(key);
	return { key, last: numberBytes(first | ((1n << BigInt(32 - Number(length))) - 1n), 4) };
}

try {
	using nftables = new Nftables();
	// One transaction replaces the table: no packet passes between the old table and the new one.
	nftables.transact([
		{ do: "add table", table },
		{ do: "delete table", table },
		{ do: "add table", table },
		{ do: "add set", table, set: blocked },
		{
			do: "add chain",
			table,
			chain: { name: "input", base: { type: "filter", hook: "input", priority: -10, policy: "accept" } },
		},
		{
			do: "add rule",
			table,
			chain: "input",
			rule: {
				expressions: [...match(field("ip saddr"), "==", { set: blocked.name }), counter(), verdict("drop")],
				comment: "on the list",
			},
		},
		...process.argv.slice(2).map((prefix) => {
			return { do: "add elements", table, set: blocked, elements: [rangeOf(prefix)] } as const;
		}),
	]);
	for (const contents of nftables.read([table]).tables) process.stdout.write(printTable(contents));
} catch (error) {
	if (!(error instanceof NftablesError)) throw error;
	console.error(`${error.message}${error.hint === undefined ? "" : ` (${error.hint})`}`);
	process.exitCode = 1;
}
