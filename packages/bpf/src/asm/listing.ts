/** The annotated listing of a program, for auditors and golden files. */
import { distanceIsImmediate, encodeInstructions, resolveLabels } from "./encode.ts";
import { type Instruction, SLOT_BYTES, slotsOf } from "./instruction.ts";
import { formatInstruction } from "./pseudo-c.ts";

const TEXT_COLUMN = 40;

/**
 * One line for each slot: its number (as in the verifier's log), bytes, pseudo-C and note; the group's
 * comment and the label are above it. Map references have zero bytes and the map's name.
 *
 * ```
 * ; find the IPv4 header
 *    0  61 12 4c 00 00 00 00 00  r2 = *(u32 *)(r1 + 76)                  ; data = ctx.data
 * ```
 * Ends with a newline. Throws BpfError (BUILD) as encoding does.
 */
export function formatListing(instructions: readonly Instruction[]): string {
	const bytes = encodeInstructions(instructions, () => 0);
	const resolved = resolveLabels(instructions);
	const targets = new Set(instructions.flatMap((instruction) => instruction.target ?? []));
	const lines: string[] = [];
	let slot = 0;
	instructions.forEach((instruction, index) => {
		const { symbol, comment, note, target } = instruction;
		if (symbol !== undefined && targets.has(symbol)) lines.push(`${symbol}:`);
		if (comment !== undefined) lines.push(`; ${comment}`);
		let text = formatInstruction(instruction);
		const place = resolved[index];
		if (target !== undefined && place !== undefined) {
			const distance = distanceIsImmediate(place.opcode) ? Number(place.immediate) : place.offset;
			text += ` (${distance < 0 ? "" : "+"}${distance})`;
		}
		lines.push(line(slot, bytes, text, note));
		slot += slotsOf(instruction);
		if (slotsOf(instruction) === 2) lines.push(line(slot - 1, bytes, "", undefined));
	});
	return lines.map((text) => `${text}\n`).join("");
}

function line(slot: number, bytes: Uint8Array, text: string, note: string | undefined): string {
	const hex = [...bytes.subarray(slot * SLOT_BYTES, (slot + 1) * SLOT_BYTES)]
		.map((byte) => byte.toString(16).padStart(2, "0"))
		.join(" ");
	const body = note === undefined ? text : `${text.padEnd(TEXT_COLUMN)}; ${note}`;
	return `${String(slot).padStart(4)}  ${hex}  ${body}`.trimEnd();
}
