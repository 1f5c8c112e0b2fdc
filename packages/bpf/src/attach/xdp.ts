/**
 * XDP over rtnetlink: one program for each interface and mode, native (in the driver) or generic (in the
 * stack).
 */

import {
	attribute,
	decodeAttributes,
	decodeLinkMessage,
	ERRNO,
	IFINFOMSG,
	IFLA_XDP,
	type NetInterface,
	Netlink,
	nestedAttribute,
	RTM_GETLINK,
	RTM_SETLINK,
	SyscallError,
	u32Attribute,
	u32Value,
} from "@l3dsr/linux";
import { BpfError } from "../error.ts";
import { programIdOf } from "../object-id.ts";
import { Program } from "../program.ts";
import type { AttachableProgram, Attached, Hook } from "./hook.ts";

const IFLA_XDP_FD = 1;
const IFLA_XDP_FLAGS = 3;
const IFLA_XDP_EXPECTED_FD = 8;

const XDP_FLAGS_UPDATE_IF_NOEXIST = 1 << 0;
const XDP_FLAGS_REPLACE = 1 << 4;

/** The request's flag for a mode, and the attribute with the id of the program attached in it. */
const MODES = {
	native: { flag: 1 << 2, idAttribute: 5 },
	generic: { flag: 1 << 1, idAttribute: 6 },
} as const;
export type XdpMode = keyof typeof MODES;

const NO_PROGRAM = -1;

function xdpHook(mode: XdpMode): Hook<Attached> {
	const { flag, idAttribute } = MODES[mode];
	const name = mode === "native" ? "XDP" : "generic XDP";

	function set(
		on: NetInterface,
		fd: number,
		flags: number,
		expectedFd: number | undefined,
		doing: string,
	): void {
		using netlink = new Netlink();
		const xdp = nestedAttribute(
			IFLA_XDP,
			attribute(IFLA_XDP_FD, u32Value(fd)),
			attribute(IFLA_XDP_FLAGS, u32Value(flag | flags)),
			...(expectedFd === undefined ? [] : [attribute(IFLA_XDP_EXPECTED_FD, u32Value(expectedFd))]),
		);
		const payload = Buffer.concat([IFINFOMSG.encode({ index: on.index }), xdp]);
		try {
			netlink.change({ type: RTM_SETLINK, payload, doing });
		} catch (error) {
			throw explain(error, doing, mode);
		}
	}

	return {
		name,
		/** Fails with EBUSY or EEXIST if a program is attached already, in any mode. */
		attach(to: NetInterface, program: AttachableProgram): void {
			const doing = `attach program ${program.name} to ${name} of ${to.name}`;
			set(to, program.fd, XDP_FLAGS_UPDATE_IF_NOEXIST, undefined, doing);
		},
		replace(on: NetInterface, current: Attached, program: AttachableProgram): void {
			using old = Program.open(current.programId);
			const doing = `replace program ${current.programId} by ${program.name} at ${name} of ${on.name}`;
			set(on, program.fd, XDP_FLAGS_REPLACE, old.fd, doing);
		},
		query(on: NetInterface): readonly Attached[] {
			using netlink = new Netlink();
			const message = netlink.get({
				type: RTM_GETLINK,
				payload: IFINFOMSG.encode({ index: on.index }),
				doing: `look up the XDP program of ${on.name}`,
			});
			const xdp = decodeLinkMessage(message).attributes.get(IFLA_XDP);
			const programId = xdp === undefined ? undefined : u32Attribute(decodeAttributes(xdp), idAttribute);
			return programId === undefined ? [] : [{ programId: programIdOf(programId) }];
		},
		detach(from: NetInterface, current: Attached): void {
			using old = Program.open(current.programId);
			const doing = `detach program ${current.programId} from ${name} of ${from.name}`;
			set(from, NO_PROGRAM, XDP_FLAGS_REPLACE, old.fd, doing);
		},
	};
}

/** In the driver, before the kernel allocates an skb. Not every driver supports it. */
export const xdpNative: Hook<Attached> = xdpHook("native");
/** In the network stack, on any interface; slower than tc. */
export const xdpGeneric: Hook<Attached> = xdpHook("generic");

function explain(error: unknown, doing: string, mode: XdpMode): unknown {
	if (!(error instanceof SyscallError)) return error;
	if (mode === "native" && error.errno === ERRNO.EOPNOTSUPP) {
		return new BpfError("FEATURE", `${doing}: the driver of this interface has no XDP`, {
			hint: "attach to tc ingress instead, or to generic XDP, which is slower",
			cause: error,
		});
	}
	return error;
}
