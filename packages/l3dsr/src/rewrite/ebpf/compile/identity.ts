/**
 * By what our programs are found again: their names, those of their maps, and the header of the map that has the
 * rules. Apart from the compiler, which most commands do without.
 */

/** The program's name in the kernel. */
export const PROGRAM_NAME = { tc: "l3dsr_tc", xdp: "l3dsr_xdp" } as const;

/** The name of a program that reports and changes nothing (report-program.ts). */
export const REPORT_PROGRAM = "l3dsr_watch";

export const MAP = {
	rules: "l3dsr_rules",
	counters: "l3dsr_count",
	base: "l3dsr_base",
	/** The host's own addresses, where they are too many to be compared one by one. */
	local: { ipv4: "l3dsr_local4", ipv6: "l3dsr_local6" },
} as const;

/** Value of MAP.rules: this header, the two tables (table.ts), then the text of `text` bytes. */
export const RULES_LAYOUT = {
	/** "L3DS" as bytes. */
	magic: [0x4c, 0x33, 0x44, 0x53],
	versionOffset: 4,
	textOffsetOffset: 8,
	textLengthOffset: 12,
	tablesOffset: 16,
} as const;
