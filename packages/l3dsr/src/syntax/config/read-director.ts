/** Reads `director:` of l3dsr.yaml and reports its faults. */
import { dirname, parse, resolve } from "node:path";
import {
	type DirectorConfiguration,
	type DirectorHook,
	type FlowMode,
	type ForwardMode,
	STATE_FOLDER,
} from "../../model/director.ts";
import type { OpenChecksums } from "../../model/open-checksums.ts";
import type { ConfigDocument } from "./document.ts";
import { bad, good, type Reading, readInterface, readVlan } from "./read-value.ts";
import type { Path, ValueReader } from "./value-reader.ts";

const AT: Path = ["director"];

/** The mapping as the schema has read it. */
export interface DirectorKeys {
	readonly hook?: DirectorHook | undefined;
	readonly forward?: ForwardMode | undefined;
	readonly flows?: FlowMode | undefined;
	readonly bleach?: boolean | undefined;
	readonly "open-checksums"?: OpenChecksums | undefined;
	readonly state?: string | undefined;
}

/** `keys` is undefined if the schema rejects the mapping. Relative paths start at the folder of the file `source`. */
export function readDirector(
	document: ConfigDocument,
	values: ValueReader,
	keys: DirectorKeys | undefined,
	{ source, hasFleet }: { readonly source: string; readonly hasFleet: boolean },
): DirectorConfiguration | undefined {
	const interfaces = values.many([...AT, "interfaces"], readWholeName);
	const vlan = values.one([...AT, "vlan"], readVlan);
	if (!hasFleet) {
		document.report(
			"CONFIG_MISSING",
			"director needs fleet: the VIPs to direct are in the fleet's table",
			document.placeOfKey([], "director"),
			{ hint: "add fleet: /etc/l3dsr/fleet.yaml" },
		);
	}
	if (interfaces !== undefined) reportTwice(document, interfaces);
	const hook = keys?.hook ?? "xdp";
	if (hook === "tc") reportAtTc(document, keys?.forward);
	if (interfaces === undefined || keys === undefined) return undefined;
	return {
		settings: {
			interfaces,
			hook,
			forward: keys.forward ?? (hook === "tc" ? "kernel" : "resolved"),
			flows: keys.flows ?? "transition",
			...(vlan === undefined ? {} : { vlan }),
			bleach: keys.bleach ?? false,
			openChecksums: keys["open-checksums"] ?? "refuse",
		},
		state: resolve(dirname(source), keys.state ?? `${STATE_FOLDER}/${parse(source).name}.state.json`),
	};
}

function readWholeName(text: string): Reading<string> {
	const reading = readInterface(text);
	if (!reading.ok) return reading;
	const { name, wildcard } = reading.value;
	if (wildcard) {
		return bad(
			`${text} stands for several interfaces, but a director needs full interface names`,
			"list each interface: [eth0, eth1]",
		);
	}
	if (name === "lo") return bad("lo is not an interface on which packets of clients arrive");
	return good(name);
}

function reportTwice(document: ConfigDocument, interfaces: readonly string[]): void {
	interfaces.forEach((name, index) => {
		if (interfaces.indexOf(name) === index) return;
		document.report(
			"CONFIG_BAD_VALUE",
			`${name} is listed twice`,
			document.place([...AT, "interfaces", index]),
		);
	});
}

function reportAtTc(document: ConfigDocument, forward: ForwardMode | undefined): void {
	if (document.at([...AT, "vlan"]) !== undefined) {
		document.report(
			"CONFIG_BAD_VALUE",
			"vlan cannot be combined with hook: tc: the kernel removes VLAN tags before tc sees a frame",
			document.place([...AT, "vlan"]),
			{ hint: "name the VLAN device (eth0.100) in interfaces, without vlan" },
		);
	}
	if (forward === "resolved") {
		document.report(
			"CONFIG_BAD_VALUE",
			"forward: resolved cannot be combined with hook: tc: at tc the kernel routes rewritten packets",
			document.place([...AT, "forward"]),
			{ hint: "use forward: kernel, or hook: xdp" },
		);
	}
}
