/**
 * The limits of a text's size. They are far above what people or scripts write, but low enough that reading takes
 * seconds at most. A fault that reports a limit names its number.
 */
export const LIMITS = {
	/** Of one line of a rules file or dsr.conf, in characters. iptables-restore reads 10,240. */
	lineLength: 16_384,
	/** In one command of iptables-daddr. */
	words: 1_024,
	/** That one command makes from lists of addresses. */
	rulesOfCommand: 4_096,
	/** In a rules file. */
	rulesOfFile: 16_384,
	/** In a configuration, or in a folder of dsr.conf files. */
	services: 16_384,
	/** In a list of ports, protocols or interfaces. */
	listEntries: 1_024,
	/** Of a YAML file, in characters. */
	yamlLength: 2 * 1024 * 1024,
	/** In a YAML file; also the most values that each may expand to. */
	yamlAliases: 100,
	/** Shown for one text. */
	problems: 100,
} as const;
