/**
 * Counts the IP packets of a capture by DSCP: `node summarize-capture.ts FILE.pcap`. Reads the files of
 * tcpdump, tshark and dumpcap.
 */
import { readFileSync } from "node:fs";
import { decodeCapture, dscpOfTos, formatDscp, networkPacketOf, parsePacket } from "@l3dsr/packet";

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error("usage: summarize-capture.ts FILE");

const counts = new Map<string, number>();
for (const { bytes, linkType } of decodeCapture(readFileSync(file), file).packets) {
	const found = networkPacketOf(bytes, linkType);
	const packet = typeof found === "string" ? found : parsePacket(bytes.subarray(found.offset));
	const what = typeof packet === "string" ? packet : `DSCP ${formatDscp(dscpOfTos(packet.tos))}`;
	counts.set(what, (counts.get(what) ?? 0) + 1);
}
for (const [what, count] of [...counts].sort(([a], [b]) => (a < b ? -1 : 1))) console.log(`${count} ${what}`);
