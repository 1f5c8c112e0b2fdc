/** How a process of this checkout's Node runs the sources as they are. */

/**
 * Arguments for `process.execPath` in front of a TypeScript file: with this condition the packages of the workspace
 * resolve to their sources, not to what they are built to. What is compiled is kept, also where the environment is empty.
 */
export const FROM_SOURCE: readonly string[] = [
	"--conditions=@l3dsr/source",
	`--import=${new URL("./compile-cache.ts", import.meta.url).href}`,
];
