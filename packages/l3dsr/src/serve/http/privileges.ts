/** Tells whether this process has privileges; if it has any, it does not serve HTTP. */
import { readFileSync } from "node:fs";

/** The privileges left, in words; empty if there are none. `status` is the text of /proc/self/status. */
function privilegesOf(status: string): string[] {
	const field = (name: string): string | undefined =>
		new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1]?.trim();
	const left: string[] = [];
	const users = field("Uid")?.split(/\s+/) ?? ["0"];
	if (users.includes("0")) left.push("it runs as root");
	for (const name of ["CapPrm", "CapEff", "CapAmb"]) {
		if (!/^0+$/.test(field(name) ?? "")) left.push(`it has capabilities (${name})`);
	}
	if (field("NoNewPrivs") !== "1") left.push("it could get new privileges (no_new_privs is not set)");
	return left;
}

export function ownPrivileges(): string[] {
	return privilegesOf(readFileSync("/proc/self/status", "utf8"));
}
