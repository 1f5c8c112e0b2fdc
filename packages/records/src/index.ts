/**
 * The records that l3dsr prints with --json and that its agent serves, as types, and their versions.
 * Importing this does not load the schemas.
 */
import type * as z from "zod/mini";
import type { agent } from "./agent.ts";
import type { diagnostic, errors } from "./diagnostic.ts";
import type { directedService, director, real } from "./director.ts";
import type { event, events } from "./event.ts";
import type { finding, findings } from "./finding.ts";
import type { fleet } from "./fleet.ts";
import type { step } from "./plan.ts";
import type { selection, service, status } from "./status.ts";
import type { trace } from "./trace.ts";

export type { Standalone, Unprinted } from "./standalone.ts";
export { RECORD_VERSION, type SchemaId, type StandaloneName, schemaId } from "./version.ts";

export type StatusRecord = z.output<typeof status>;
export type ServiceRecord = z.output<typeof service>;
export type SelectionRecord = z.output<typeof selection>;
export type DirectorRecord = z.output<typeof director>;
export type DirectedServiceRecord = z.output<typeof directedService>;
export type RealRecord = z.output<typeof real>;
export type AgentRecord = z.output<typeof agent>;
export type FindingRecord = z.output<typeof finding>;
export type FindingsRecord = z.output<typeof findings>;
export type EventRecord = z.output<typeof event>;
export type EventsRecord = z.output<typeof events>;
export type StepRecord = z.output<typeof step>;
export type FleetRecord = z.output<typeof fleet>;
export type TraceRecord = z.output<typeof trace>;
export type DiagnosticRecord = z.output<typeof diagnostic>;
export type ErrorsRecord = z.output<typeof errors>;
