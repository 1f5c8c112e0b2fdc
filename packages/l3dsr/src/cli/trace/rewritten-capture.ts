/** The packets after the rules, as a capture file: bytes that were not captured stay missing. */

import { statSync } from "node:fs";
import { encodePcap, LINK_TYPE } from "@l3dsr/packet";
import { requireWritableFile, writeBytes, writeFailure } from "../../host/files.ts";
import type { OtherFrame } from "../../inspect/trace/input-packet.ts";
import { outgoingBytes } from "../../inspect/trace/record.ts";
import type { Traced } from "../../inspect/trace/traced.ts";
import type { CliContext } from "../context.ts";
import { usage } from "../option-values.ts";

/** In the original kind of frames; as bare IP packets if the capture mixes link types. */
export function rewrittenCapture(traced: readonly (Traced | OtherFrame)[]): Uint8Array {
	const frames = traced.map((one) => ("notIp" in one ? one.frame : one.input.frame));
	const types = new Set(frames.map(({ linkType }) => linkType));
	const [linkType = LINK_TYPE.raw] = types;
	if (types.size > 1) return encodePcap(traced.flatMap(barePacket), LINK_TYPE.raw);
	return encodePcap(traced.map(wholeFrame), linkType);
}

function wholeFrame(one: Traced | OtherFrame): Parameters<typeof encodePcap>[0][number] {
	if ("notIp" in one) return one.frame;
	const { input } = one;
	const bytes = Uint8Array.from(input.frame.bytes);
	bytes.set(outgoingBytes(one).subarray(0, input.capturedBytes), input.offset);
	return { ...input.frame, bytes };
}

function barePacket(one: Traced | OtherFrame): Parameters<typeof encodePcap>[0] {
	if ("notIp" in one) return [];
	const { input } = one;
	const { timestampNs, lengthBytes } = input.frame;
	const bytes = outgoingBytes(one).subarray(0, input.capturedBytes);
	return [{ timestampNs, bytes, lengthBytes: lengthBytes - input.offset }];
}

/** `-` is standard output. */
const STDOUT = "-";

/**
 * Checks in advance that the capture can be written. Throws L3dsrError (FILE_WRITE, USAGE), also if it
 * would overwrite the capture that is being read.
 */
export function requireWritable(context: CliContext, path: string, input: string | undefined): void {
	if (path === STDOUT) {
		if (context.stdout.isTTY === true) throw usage("-w -: cannot write a capture to a terminal");
		return;
	}
	const [there, read] = [path, input].map((one) =>
		one === undefined || one === STDOUT ? undefined : statSync(one, { throwIfNoEntry: false }),
	);
	if (there !== undefined && there.ino === read?.ino && there.dev === read.dev) {
		throw usage(`-w ${path} would overwrite the capture that is being read`, "write to another file");
	}
	reporting(path, () => requireWritableFile(path));
}

/** Where the text goes: never between the bytes of a capture. */
export function textContext(context: CliContext, path: string | undefined): CliContext {
	return path === STDOUT ? { ...context, stdout: context.stderr } : context;
}

export function writeCapture({ stdout }: CliContext, path: string, bytes: Uint8Array): void {
	if (path === STDOUT) stdout.write(bytes);
	else reporting(path, () => writeBytes(path, bytes));
}

function reporting(path: string, work: () => void): void {
	try {
		work();
	} catch (cause) {
		throw writeFailure("capture", path, cause);
	}
}
