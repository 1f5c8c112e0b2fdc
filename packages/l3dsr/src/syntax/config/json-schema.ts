/** The JSON Schema of l3dsr.yaml for editors. Separate from schema.ts, so that no command bundles the generator. */
import { toJSONSchema } from "zod/mini";
import { configSchema } from "./schema.ts";

/** JSON Schema (2020-12). */
export function jsonSchema(): object {
	return { title: "l3dsr.yaml", ...toJSONSchema(configSchema, { io: "input" }) };
}
