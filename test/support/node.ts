/** How to run the sources directly with this checkout's Node. */

/**
 * Arguments for `process.execPath` before a TypeScript file: with this condition the packages of the
 * workspace resolve to their sources instead of their builds. Compiled code is cached, even with an empty
 * environment.
 */
export const FROM_SOURCE: readonly string[] = [
	"--conditions=@l3dsr/source",
	`--import=${new URL("./compile-cache.ts", import.meta.url).href}`,
];
