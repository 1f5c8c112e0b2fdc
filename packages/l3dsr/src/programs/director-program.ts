/**
 * Names of the director's program in the kernel, by hook. Separate from its compiler, which hosts without a director
 * do not load.
 */
export const DIRECTOR_PROGRAM = { xdp: "l3dsr_director", tc: "l3dsr_direct_tc" } as const;

const NAMES: ReadonlySet<string> = new Set(Object.values(DIRECTOR_PROGRAM));

export function isDirectorProgram(name: string): boolean {
	return NAMES.has(name);
}
