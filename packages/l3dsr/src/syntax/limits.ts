/**
 * How much a text may hold. Far more than anybody writes by hand or by script, and little enough that reading it takes
 * seconds at most. Whoever meets a limit reports it with its number.
 */
export const LIMITS = {
	/** Of one line of a rules file or a dsr.conf, in characters. iptables-restore reads 10,240. */
	lineLength: 16_384,
	/** Of one command of iptables-daddr. */
	words: 1_024,
	/** That one command makes, with lists of addresses. */
	rulesOfCommand: 4_096,
	/** In a rules file. */
	rulesOfFile: 16_384,
	/** In a configuration or a folder of dsr.conf files. */
	services: 16_384,
	/** In a list of ports, protocols or interfaces. */
	listEntries: 1_024,
	/** Of a YAML file, in characters. */
	yamlLength: 2 * 1024 * 1024,
	/** Of a YAML file, and values that they may become for each that is written. */
	yamlAliases: 100,
	/** That are shown of one text. */
	problems: 100,
} as const;
