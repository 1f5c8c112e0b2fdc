/** Whether this process has privileges: if it has any, it does not speak to the network. */
import { readFileSync } from "node:fs";

/** What is left of them, in words; empty when there is nothing. `status` is the text of /proc/self/status. */
export function privilegesOf(status: string): string[] {
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
