/** The JSON Schema of fleet.yaml for editors. Separate from schema.ts, so that no command bundles the generator. */
import { toJSONSchema } from "zod/mini";
import { fleetSchema } from "./schema.ts";

/** JSON Schema (2020-12). */
export function fleetJsonSchema(): object {
	return { title: "fleet.yaml", ...toJSONSchema(fleetSchema, { io: "input" }) };
}
