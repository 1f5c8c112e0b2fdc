/**
 * Identifies our programs in the kernel: their names, their maps' names, and the header of the map with the rules.
 * Separate from the compiler, which most commands do not load.
 */

/** Name of the program in the kernel. */
export const PROGRAM_NAME = { tc: "l3dsr_tc", xdp: "l3dsr_xdp" } as const;

/** Name of a program that reports and changes nothing (report-program.ts). */
export const REPORT_PROGRAM = "l3dsr_watch";

export const MAP = {
	rules: "l3dsr_rules",
	counters: "l3dsr_count",
	base: "l3dsr_base",
	/** The host's own addresses, if there are too many to compare one by one. */
	local: { ipv4: "l3dsr_local4", ipv6: "l3dsr_local6" },
} as const;

/** The value of MAP.rules: this header, the two tables (table.ts), then `text` bytes of text. */
export const RULES_LAYOUT = {
	/** "L3DS" as bytes. */
	magic: [0x4c, 0x33, 0x44, 0x53],
	versionOffset: 4,
	textOffsetOffset: 8,
	textLengthOffset: 12,
	tablesOffset: 16,
} as const;
