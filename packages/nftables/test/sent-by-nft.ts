/** The messages that nft(8) sends for a script, taken from its own --debug=mnl output. */
import { spawnSync } from "node:child_process";

export interface SentMessage {
	/** Subsystem and message number. */
	readonly type: number;
	/** struct nfgenmsg and attributes. */
	readonly payload: Uint8Array;
}

const NEW_OR_DELETE: ReadonlySet<number> = new Set([0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 18, 20]);
const SUBSYSTEM = 10;

/** Runs the script and returns the changes that it sent. Throws with nft's message if nft refuses it. */
export function sentByNft(script: string): SentMessage[] {
	const { status, stdout, stderr } = spawnSync("nft", ["--debug=mnl", "-f", "-"], {
		input: script,
		encoding: "utf8",
		maxBuffer: 1 << 26,
	});
	if (status !== 0) throw new Error(`nft: ${stderr.split("\n").slice(-5).join("\n")}`);
	const messages: { type: number; bytes: number[] }[] = [];
	// biome-ignore lint/suspicious/noControlCharactersInRegex: nft colours its attributes.
	for (const line of `${stdout}\n${stderr}`.replace(/\x1b\[[\d;]*m/g, "").split("\n")) {
		const type = /^\| (\d{5}) \| .{4} \|\t\| {2}type \| flags/.exec(line)?.[1];
		if (type !== undefined) messages.push({ type: Number(type), bytes: [] });
		const attribute = /^\|(\d{5})\|(.)(.)\|(\d{5})\|\t\|len/.exec(line);
		if (attribute !== null) {
			const [length, number] = [Number(attribute[1]), Number(attribute[4])];
			const nested = attribute[2] === "N" ? 0x80 : 0;
			messages.at(-1)?.bytes.push(length & 0xff, length >> 8, number & 0xff, (number >> 8) | nested);
		}
		const data = /^\| ((?:[0-9a-f]{2} ){4}) \|\t\| {2}(?:extra header| {4}data)/.exec(line)?.[1];
		if (data !== undefined) {
			messages.at(-1)?.bytes.push(
				...data
					.trim()
					.split(" ")
					.map((one) => Number.parseInt(one, 16)),
			);
		}
	}
	return messages
		.filter(({ type }) => type >> 8 === SUBSYSTEM && NEW_OR_DELETE.has(type & 0xff))
		.map(({ type, bytes }) => ({ type, payload: Uint8Array.from(bytes) }));
}
