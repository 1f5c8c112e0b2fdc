/** Finds our programs in the kernel, at the hooks of every interface, with the rules they were compiled from. */
import {
	type Attached,
	arrayKey,
	BpfError,
	type BpfMap,
	type ClsactAttached,
	clsactIngress,
	interfacesWithIngress,
	Program,
	type ProgramId,
	removeEmptyClsact,
	type TcxAttached,
	tcxIngress,
	xdpGeneric,
	xdpNative,
} from "@l3dsr/bpf";
import { ERRNO, LinuxError, listInterfaces, type NetInterface, SyscallError } from "@l3dsr/linux";
import { L3dsrError } from "../../../errors.ts";
import type { HookChoice } from "../../../model/configuration.ts";
import { isDirectorProgram } from "../../../programs/director-program.ts";
import type { DatapathFinding, HookName } from "../../datapath.ts";
import { MAP, PROGRAM_NAME, REPORT_PROGRAM, RULES_LAYOUT } from "../compile/identity.ts";
import { decodeInterfaceRules, type InterfaceRules } from "../compile/interface-rules.ts";

export { HOOK_NAMES, type HookName } from "../../datapath.ts";

/** The operations of each hook. They use no more of a query's result than the program's id. */
export interface HookPlace {
	readonly program: keyof typeof PROGRAM_NAME;
	/** For messages: `tcx ingress`. */
	readonly name: string;
	attach(to: NetInterface, program: Program): void;
	/** Throws if program `id` is no longer there. */
	replace(on: NetInterface, id: number, program: Program): void;
	detach(from: NetInterface, id: number): void;
	/** Ids of all programs, in the order in which they run; empty if the kernel lacks the hook. */
	query(on: NetInterface): readonly ProgramId[];
}

/** The element of a query that is program `id`; if it is gone, the hook's own error says so. */
function elementOf<A extends Attached>(
	elements: readonly A[],
	id: number,
	place: string,
	on: NetInterface,
): A {
	const element = elements.find(({ programId }) => programId === id);
	if (element !== undefined) return element;
	throw programGone(id, place, on.name);
}

function programGone(id: number, place: string, on: string): L3dsrError {
	return new L3dsrError({
		code: "DATAPATH_CHANGED",
		message: `change program ${id} at ${place} of ${on}: it is no longer there`,
		hint: "something else removed it meanwhile; run the command again",
	});
}

const tcx: HookPlace = {
	program: "tc",
	name: tcxIngress.name,
	// Attach first, so that a program that accepts packets early does not hide them from ours.
	attach: (to, program) => tcxIngress.attach(to, program, { position: "first" }),
	replace: (on, id, program) => tcxIngress.replace(on, tcxElement(on, id), program),
	detach: (from, id) => tcxIngress.detach(from, tcxElement(from, id)),
	query: (on) => withoutMissingHook(() => tcxIngress.query(on).map(({ programId }) => programId)),
};

function tcxElement(on: NetInterface, id: number): TcxAttached {
	return elementOf(tcxIngress.query(on), id, tcxIngress.name, on);
}

const clsact: HookPlace = {
	program: "tc",
	name: clsactIngress.name,
	attach: (to, program) => clsactIngress.attach(to, program, { priority: "first" }),
	replace: (on, id, program) => clsactIngress.replace(on, clsactElement(on, id), program),
	detach(from, id) {
		clsactIngress.detach(from, clsactElement(from, id));
		removeEmptyClsact(from);
	},
	query: (on) => clsactIngress.query(on).map(({ programId }) => programId),
};

function clsactElement(on: NetInterface, id: number): ClsactAttached {
	return elementOf(clsactIngress.query(on), id, clsactIngress.name, on);
}

function xdpPlace(hook: typeof xdpNative): HookPlace {
	const element = (on: NetInterface, id: number) => elementOf(hook.query(on), id, hook.name, on);
	return {
		program: "xdp",
		name: hook.name,
		attach: (to, program) => hook.attach(to, program),
		replace: (on, id, program) => hook.replace(on, element(on, id), program),
		detach: (from, id) => hook.detach(from, element(from, id)),
		query: (on) => hook.query(on).map(({ programId }) => programId),
	};
}

export const PLACES: Readonly<Record<HookName, HookPlace>> = {
	tcx,
	clsact,
	xdp: xdpPlace(xdpNative),
	"xdp-generic": xdpPlace(xdpGeneric),
};

/** The hooks for each choice, best first. */
export const HOOKS_OF: Readonly<Record<Exclude<HookChoice, "auto">, readonly [HookName, ...HookName[]]>> = {
	tc: ["tcx", "clsact"],
	tcx: ["tcx"],
	clsact: ["clsact"],
	xdp: ["xdp"],
	"xdp-generic": ["xdp-generic"],
};

/** Attaches to the first of these hooks that the kernel has, and returns which. Throws the error of the last one. */
export function attachAtFirst(
	hooks: readonly [HookName, ...HookName[]],
	to: NetInterface,
	program: Program,
): HookName {
	const [hook, next, ...others] = hooks;
	try {
		PLACES[hook].attach(to, program);
		return hook;
	} catch (error) {
		const isMissing = error instanceof BpfError && error.code === "FEATURE";
		if (!isMissing || next === undefined) throw error;
		return attachAtFirst([next, ...others], to, program);
	}
}

/** A program of ours and its place. */
export interface AttachedProgram {
	readonly hook: HookName;
	readonly interface: NetInterface;
	readonly program: Program;
}

/** A program of ours with open descriptors. Dispose of it when done; the program keeps running. */
export class Attachment implements AttachedProgram, Disposable {
	readonly hook: HookName;
	readonly interface: NetInterface;
	readonly program: Program;
	readonly rules: InterfaceRules;
	/** True if other programs run before it at its hook. */
	readonly overtaken: boolean;
	readonly counters: BpfMap;
	readonly base: BpfMap;
	readonly #maps: readonly BpfMap[];

	/**
	 * Takes over `attached.program` unless it throws: L3dsrError (DATAPATH_FOREIGN) if its maps are not ours. `rules`:
	 * if they have been read before.
	 */
	constructor(attached: AttachedProgram, overtaken: boolean, rules?: InterfaceRules) {
		const { hook, interface: on, program } = attached;
		this.hook = hook;
		this.interface = on;
		this.program = program;
		this.overtaken = overtaken;
		this.#maps = program.openMaps();
		try {
			const place = `program ${program.name} at ${PLACES[hook].name} of ${on.name}`;
			this.counters = this.#map(MAP.counters, place);
			this.base = this.#map(MAP.base, place);
			this.rules = rules ?? this.#readRules(place);
		} catch (error) {
			for (const map of this.#maps) map[Symbol.dispose]();
			throw error;
		}
	}

	#readRules(place: string): InterfaceRules {
		const value = this.#map(MAP.rules, place).lookup(arrayKey(0)) ?? new Uint8Array(0);
		return decodeInterfaceRules(textOf(value), place);
	}

	#map(name: string, place: string): BpfMap {
		const map = this.#maps.find(({ info }) => info.name === name);
		if (map !== undefined) return map;
		throw new L3dsrError({
			code: "DATAPATH_FOREIGN",
			message: `read the rules of ${place}: it has no map ${name}`,
			hint: "this version of l3dsr did not attach it; inspect it with bpftool prog show",
		});
	}

	[Symbol.dispose](): void {
		for (const map of this.#maps) map[Symbol.dispose]();
		this.program[Symbol.dispose]();
	}
}

function textOf(value: Uint8Array): Uint8Array {
	const { magic, textOffsetOffset, textLengthOffset, tablesOffset } = RULES_LAYOUT;
	if (value.length < tablesOffset || !magic.every((byte, i) => value[i] === byte)) return new Uint8Array(0);
	const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
	const offset = view.getUint32(textOffsetOffset, true);
	return value.subarray(offset, offset + view.getUint32(textLengthOffset, true));
}

/** What is attached in this namespace: our programs, and what is in their way. */
export class Attachments implements Disposable {
	readonly interfaces: readonly NetInterface[];
	readonly ours: readonly Attachment[];
	/** Ours by their names, but with unreadable rules; the next change removes them. */
	readonly unreadable: readonly AttachedProgram[];
	readonly findings: readonly DatapathFinding[];
	/** Interfaces with a director's program; balance/ reads those. */
	readonly directors: readonly string[];

	private constructor(interfaces: readonly NetInterface[], { ours, unreadable, findings, directors }: Found) {
		this.interfaces = interfaces;
		this.directors = directors;
		this.ours = ours;
		this.unreadable = unreadable;
		this.findings = findings;
	}

	/**
	 * Queries only hooks that may have programs, because a host can have hundreds of interfaces and few programs.
	 * `rulesOf` returns the rules of a known program. Throws KERNEL_*.
	 */
	static find(
		interfaces: readonly NetInterface[] = listInterfaces(),
		rulesOf: RulesOf = () => undefined,
	): Attachments {
		const withIngress = interfacesWithIngress();
		const found: Found = { ours: [], unreadable: [], findings: [], directors: [] };
		try {
			for (const on of interfaces) findAt(on, hooksInUse(on, withIngress.has(on.index)), found, rulesOf);
			return new Attachments(interfaces, found);
		} catch (error) {
			dispose(found);
			throw error;
		}
	}

	/** The result as values, which outlive the descriptors. */
	record(): readonly ProgramRecord[] {
		const of = ({ hook, interface: on, program }: AttachedProgram) => ({
			hook,
			interface: on,
			programId: program.info.id,
		});
		return [
			...this.ours.map((one) => ({ ...of(one), rules: one.rules, overtaken: one.overtaken })),
			...this.unreadable.map((one) => ({ ...of(one), overtaken: false })),
		];
	}

	/**
	 * Opens the programs found before, without querying the hooks. Throws L3dsrError (DATAPATH_CHANGED) if one of them
	 * is gone.
	 */
	static reopen(interfaces: readonly NetInterface[], records: readonly ProgramRecord[]): Attachments {
		const found: Found = { ours: [], unreadable: [], findings: [], directors: [] };
		try {
			for (const { hook, interface: on, programId, rules, overtaken } of records) {
				const program = withoutVanished(() => Program.open(programId));
				if (program === undefined) throw programGone(programId, PLACES[hook].name, on.name);
				const attached = { hook, interface: on, program };
				if (rules === undefined) found.unreadable.push(attached);
				else found.ours.push(new Attachment(attached, overtaken, rules));
			}
			return new Attachments(interfaces, found);
		} catch (error) {
			dispose(found);
			throw error;
		}
	}

	[Symbol.dispose](): void {
		dispose(this);
	}
}

/** A program of ours, as found. */
export interface ProgramRecord {
	readonly hook: HookName;
	readonly interface: NetInterface;
	readonly programId: ProgramId;
	/** Absent if they could not be read. */
	readonly rules?: InterfaceRules;
	readonly overtaken: boolean;
}

type RulesOf = (id: ProgramId) => InterfaceRules | undefined;

interface Found {
	readonly ours: Attachment[];
	readonly unreadable: AttachedProgram[];
	readonly findings: DatapathFinding[];
	readonly directors: string[];
}

function dispose({ ours, unreadable }: Pick<Attachments, "ours" | "unreadable">): void {
	for (const attachment of ours) attachment[Symbol.dispose]();
	for (const { program } of unreadable) program[Symbol.dispose]();
}

/** The hooks that may have programs, judging by the list of interfaces. */
function hooksInUse(on: NetInterface, hasIngress: boolean): readonly HookName[] {
	return [
		"tcx",
		...(hasIngress ? ["clsact" as const] : []),
		...(on.xdp ? (["xdp", "xdp-generic"] as const) : []),
	];
}

function findAt(on: NetInterface, hooks: readonly HookName[], found: Found, rulesOf: RulesOf): void {
	const { ours, unreadable, findings, directors } = found;
	const before = ours.length;
	const report = (object: string, problem: string) =>
		findings.push({ datapath: "ebpf", kind: "damage", object, problem });
	for (const hook of hooks) {
		const place = PLACES[hook];
		const object = `${place.name} of ${on.name}`;
		const others: string[] = [];
		for (const id of withoutVanished(() => place.query(on)) ?? []) {
			const program = withoutVanished(() => Program.open(id));
			if (program === undefined) continue;
			if (program.name !== PROGRAM_NAME[place.program]) {
				// A watcher before our program passes every packet on, and a director passes those that are not for its VIPs.
				if (isDirectorProgram(program.name)) directors.push(on.name);
				else if (program.name !== REPORT_PROGRAM) others.push(`${program.name} (id ${id})`);
				program[Symbol.dispose]();
				continue;
			}
			const attached = { hook, interface: on, program };
			try {
				ours.push(new Attachment(attached, others.length > 0, rulesOf(program.info.id)));
			} catch (error) {
				unreadable.push(attached);
				if (!isUnreadable(error)) throw error;
				report(object, error.message);
				continue;
			}
			if (others.length > 0) {
				report(object, `${others.join(", ")} runs before ours and may withhold packets from it`);
			}
		}
	}
	const here = ours.slice(before);
	if (here.length > 1) {
		const places = here.map(({ hook }) => PLACES[hook].name);
		report(on.name, `has programs of ours at ${places.join(" and ")}: each counts a packet`);
	}
	const names = here.flatMap(({ rules }) => rules.rules.map(({ rule }) => rule.header.inInterface?.name));
	const former = names.find((name) => name !== on.name);
	if (former !== undefined) report(on.name, `runs the rules of ${former}, its former name`);
}

/** True if its maps are not like ours, or the kernel does not let us read it. */
function isUnreadable(error: unknown): error is Error {
	return error instanceof L3dsrError || error instanceof LinuxError || error instanceof BpfError;
}

const VANISHED: readonly unknown[] = [ERRNO.ENODEV, ERRNO.ENOENT];

/** Undefined if the interface or program disappeared between two queries. */
export function withoutVanished<T>(ask: () => T): T | undefined {
	try {
		return ask();
	} catch (error) {
		for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
			if (cause instanceof SyscallError && VANISHED.includes(cause.errno)) return undefined;
		}
		throw error;
	}
}

function withoutMissingHook(ask: () => readonly ProgramId[]): readonly ProgramId[] {
	try {
		return ask();
	} catch (error) {
		if (error instanceof BpfError && error.code === "FEATURE") return [];
		throw error;
	}
}
