/** What the commands end with. dsrctl and iptables-daddr keep the exit codes of their originals. */
export const EXIT = { done: 0, failed: 1, usage: 2, unsupported: 3, drift: 4 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
