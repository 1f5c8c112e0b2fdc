/** The exit codes of the commands. dsrctl and iptables-daddr keep those of their originals. */
export const EXIT = { done: 0, failed: 1, usage: 2, unsupported: 3, drift: 4 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
