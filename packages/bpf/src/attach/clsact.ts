/**
 * The clsact qdisc in both directions over rtnetlink, for kernels before tcx. Programs are filters of kind
 * `bpf` in direct-action mode, ordered by priority.
 */

import {
	attribute,
	decodeAttributes,
	ERRNO,
	interfaceByIndex,
	type NetInterface,
	Netlink,
	type NetlinkMessage,
	NLM_F,
	nestedAttribute,
	SyscallError,
	textAttribute,
	textValue,
	u32Attribute,
	u32Value,
} from "@l3dsr/linux";
import { BpfError } from "../error.ts";
import { programIdOf } from "../object-id.ts";
import type { TcDirection } from "./attach-type.ts";
import type { AttachableProgram, Attached, Hook } from "./hook.ts";
import { PARENT_CLSACT, RTM_GETQDISC, TCMSG } from "./qdisc.ts";

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;

/** Below the qdisc, its ingress and egress. */
const PARENTS = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const;
const HANDLE_CLSACT = 0xffff_0000;

const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_CHAIN = 11;
const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
const TCA_BPF_ID = 11;
const TCA_BPF_FLAG_ACT_DIRECT = 1;

const ETH_P_ALL = 0x0003;

export interface ClsactAttached extends Attached {
	/** Filters run in the order of their priorities, lowest first. */
	readonly priority: number;
	readonly handle: number;
	/** Ethernet protocol that the filter matches; 3 is ETH_P_ALL. */
	readonly protocol: number;
	/** The name given at attachment. */
	readonly name: string;
	readonly directAction: boolean;
}

export interface ClsactOptions {
	/**
	 * `first`: before all other programs. Default: the kernel picks 49152 for the first filter and one less
	 * for each further one, so explicit priorities usually run earlier.
	 */
	readonly priority?: number | "first";
}

/** The hook for one direction. */
function clsactHook(direction: TcDirection): Hook<ClsactAttached, ClsactOptions> {
	const name = `clsact ${direction}`;
	const parent = PARENTS[direction];
	return {
		name,
		/**
		 * Adds the qdisc if the interface has none. A plain `ingress` qdisc excludes clsact, but also works
		 * for ingress.
		 */
		attach(to, program, options = {}) {
			using netlink = new Netlink();
			const added = addQdisc(netlink, to, direction);
			try {
				const { priority = 0 } = options;
				putFilter(netlink, to, program, {
					parent,
					flags: NLM_F.CREATE | NLM_F.EXCL,
					// If others have the same priority, the kernel must pick the handle.
					handle: priority === "first" ? 0 : 1,
					priority: priority === "first" ? firstPriority(netlink, to, parent) : priority,
					protocol: ETH_P_ALL,
					doing: `attach program ${program.name} to ${name} of ${to.name}`,
				});
			} catch (error) {
				if (added) removeEmptyClsact(to);
				throw error;
			}
		},
		replace(on, current, program) {
			const doing = `replace program ${current.programId} by ${program.name} at ${name} of ${on.name}`;
			requirePresent(query(on, parent), current, doing);
			using netlink = new Netlink();
			// Without CREATE, the filter must exist: NEWTFILTER then replaces its program in one step.
			const { handle, priority, protocol } = current;
			putFilter(netlink, on, program, { parent, flags: 0, handle, priority, protocol, doing });
		},
		query: (on) => query(on, parent),
		detach(from, current) {
			const doing = `detach program ${current.programId} from ${name} of ${from.name}`;
			requirePresent(query(from, parent), current, doing);
			using netlink = new Netlink();
			const { handle, priority, protocol } = current;
			const fixed = TCMSG.encode({ ifindex: from.index, handle, parent, protocol, priority });
			netlink.change({
				type: RTM_DELTFILTER,
				payload: Buffer.concat([fixed, attribute(TCA_KIND, textValue("bpf"))]),
				doing,
			});
		},
	};
}

export const clsactIngress: Hook<ClsactAttached, ClsactOptions> = clsactHook("ingress");
/** Packets that this host sends, before they reach the driver's queue. */
export const clsactEgress: Hook<ClsactAttached, ClsactOptions> = clsactHook("egress");

function query(on: NetInterface, parent: number): readonly ClsactAttached[] {
	using netlink = new Netlink();
	const messages = listFilters(netlink, on, parent);
	// For an interface that does not exist, the kernel returns an empty list and no error.
	if (messages.length === 0) interfaceByIndex(on.index);
	return messages.flatMap(decodeFilter).sort((a, b) => a.priority - b.priority);
}

/**
 * One less than the lowest priority in use. If that priority is taken or 0, the lowest itself: the kernel
 * runs the newest of the programs with equal priority first.
 */
function firstPriority(netlink: Netlink, on: NetInterface, parent: number): number {
	const messages = listFilters(netlink, on, parent);
	const taken = new Set(messages.map(({ payload }) => TCMSG.decode(payload).priority));
	const [first] = messages.flatMap(decodeFilter).sort((a, b) => a.priority - b.priority);
	if (first === undefined) return 0;
	const before = first.priority - 1;
	return before > 0 && !taken.has(before) ? before : first.priority;
}

/** Deletes the clsact qdisc if no filter is left in it, whoever added it. Returns true if it was deleted. */
export function removeEmptyClsact(from: NetInterface): boolean {
	using netlink = new Netlink();
	if (qdiscKind(netlink, from) !== "clsact") return false;
	for (const parent of Object.values(PARENTS)) {
		if (listFilters(netlink, from, parent).length > 0) return false;
	}
	netlink.change({
		type: RTM_DELQDISC,
		payload: TCMSG.encode({ ifindex: from.index, handle: HANDLE_CLSACT, parent: PARENT_CLSACT }),
		doing: `remove the clsact qdisc of ${from.name}`,
	});
	return true;
}

/** Returns false if the interface already has one. */
function addQdisc(netlink: Netlink, to: NetInterface, direction: TcDirection): boolean {
	const doing = `add a clsact qdisc to ${to.name}`;
	const fixed = TCMSG.encode({ ifindex: to.index, handle: HANDLE_CLSACT, parent: PARENT_CLSACT });
	const payload = Buffer.concat([fixed, attribute(TCA_KIND, textValue("clsact"))]);
	try {
		netlink.change({ type: RTM_NEWQDISC, flags: NLM_F.CREATE | NLM_F.EXCL, payload, doing });
		return true;
	} catch (error) {
		if (!(error instanceof SyscallError)) throw error;
		if (error.errno === ERRNO.EEXIST) {
			if (direction === "ingress" || qdiscKind(netlink, to) !== "ingress") return false;
			throw new BpfError("HELD", `${doing}: it has an ingress qdisc, which excludes clsact`, {
				hint: `tc qdisc del dev ${to.name} ingress, if nothing needs it`,
				cause: error,
			});
		}
		if (error.errno !== ERRNO.ENOENT) throw error;
		throw new BpfError("FEATURE", `${doing}: the kernel has no sch_ingress`, { cause: error });
	}
}

/**
 * Priority and handle alone identify a filter: another program may have taken ours since the caller looked.
 */
function requirePresent(present: readonly ClsactAttached[], current: ClsactAttached, doing: string): void {
	const same = present.some(
		({ programId, handle, priority, protocol }) =>
			programId === current.programId &&
			handle === current.handle &&
			priority === current.priority &&
			protocol === current.protocol,
	);
	if (!same) throw new SyscallError(doing, ERRNO.ENOENT);
}

interface FilterRequest {
	readonly parent: number;
	readonly flags: number;
	readonly handle: number;
	readonly priority: number;
	readonly protocol: number;
	readonly doing: string;
}

function putFilter(
	netlink: Netlink,
	on: NetInterface,
	program: AttachableProgram,
	filter: FilterRequest,
): void {
	const { flags, parent, handle, priority, protocol, doing } = filter;
	const fixed = TCMSG.encode({ ifindex: on.index, handle, parent, protocol, priority });
	const options = nestedAttribute(
		TCA_OPTIONS,
		attribute(TCA_BPF_FD, u32Value(program.fd)),
		attribute(TCA_BPF_NAME, textValue(program.name)),
		attribute(TCA_BPF_FLAGS, u32Value(TCA_BPF_FLAG_ACT_DIRECT)),
	);
	const payload = Buffer.concat([fixed, attribute(TCA_KIND, textValue("bpf")), options]);
	netlink.change({ type: RTM_NEWTFILTER, flags, payload, doing });
}

function qdiscKind(netlink: Netlink, on: NetInterface): string | undefined {
	// Strict checking refuses an interface index in a dump request, so filter the answer.
	const messages = netlink.dump({
		type: RTM_GETQDISC,
		payload: TCMSG.encode({}),
		doing: `list the qdiscs of ${on.name}`,
	});
	for (const { payload } of messages) {
		const { ifindex, parent } = TCMSG.decode(payload);
		if (ifindex === on.index && parent === PARENT_CLSACT) {
			return textAttribute(decodeAttributes(payload.subarray(TCMSG.size)), TCA_KIND);
		}
	}
	return undefined;
}

function listFilters(netlink: Netlink, on: NetInterface, parent: number): readonly NetlinkMessage[] {
	try {
		return netlink.dump({
			type: RTM_GETTFILTER,
			payload: TCMSG.encode({ ifindex: on.index, parent }),
			doing: `list the filters of ${on.name}`,
		});
	} catch (error) {
		// There is no such qdisc, so there are no filters.
		if (error instanceof SyscallError && error.errno === ERRNO.EINVAL) return [];
		throw error;
	}
}

/**
 * Decodes a filter that runs a program in chain 0; skips other kinds and the priority's own entry (handle 0).
 */
function decodeFilter({ payload }: NetlinkMessage): readonly ClsactAttached[] {
	const { handle, protocol, priority } = TCMSG.decode(payload);
	const attributes = decodeAttributes(payload.subarray(TCMSG.size));
	const options = attributes.get(TCA_OPTIONS);
	if (textAttribute(attributes, TCA_KIND) !== "bpf" || options === undefined || handle === 0) return [];
	if ((u32Attribute(attributes, TCA_CHAIN) ?? 0) !== 0) return [];
	const bpf = decodeAttributes(options);
	const programId = u32Attribute(bpf, TCA_BPF_ID);
	if (programId === undefined) return [];
	const directAction = ((u32Attribute(bpf, TCA_BPF_FLAGS) ?? 0) & TCA_BPF_FLAG_ACT_DIRECT) !== 0;
	return [
		{
			programId: programIdOf(programId),
			priority,
			handle,
			protocol,
			name: textAttribute(bpf, TCA_BPF_NAME) ?? "",
			directAction,
		},
	];
}
