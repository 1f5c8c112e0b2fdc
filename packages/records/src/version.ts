/**
 * The standalone records, and the version of each. It is increased when a field is removed, is renamed or
 * changes its meaning; a new field does not change it.
 */
export const RECORD_VERSION = {
	status: 1,
	findings: 1,
	"agent-event": 1,
	events: 1,
	fleet: 1,
	trace: 1,
	"trace-summary": 1,
	errors: 1,
	plan: 1,
	diff: 1,
	check: 1,
	show: 1,
	watch: 1,
	"watch-forwarded": 1,
	"watch-left-out": 1,
	probe: 1,
	export: 1,
	import: 1,
	lab: 1,
	"lab-down": 1,
	version: 1,
} as const;

export type StandaloneName = keyof typeof RECORD_VERSION;

export type SchemaId<N extends StandaloneName = StandaloneName> = {
	[K in N]: `l3dsr.${K}/${(typeof RECORD_VERSION)[K]}`;
}[N];

/** The value of the field `schema` of a record. */
export function schemaId<N extends StandaloneName>(name: N): SchemaId<N> {
	return `l3dsr.${name}/${RECORD_VERSION[name]}` as SchemaId<N>; // the template of the type
}
