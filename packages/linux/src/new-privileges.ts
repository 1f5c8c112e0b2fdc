/** prctl(2) PR_SET_NO_NEW_PRIVS. */
import { check, libcFunction } from "./libc.ts";

const PR_SET_NO_NEW_PRIVS = 38;

const prctl = libcFunction<[option: number, a: number, b: number, c: number, d: number]>(
	"int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)",
);

/**
 * From now on this thread, and all programs started from it, gain no privileges by executing a file:
 * set-user-ID bits and file capabilities have no effect. Cannot be undone.
 */
export function forbidNewPrivileges(): void {
	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "forbid new privileges");
}
