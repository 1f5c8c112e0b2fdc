/** Imported before a source: caches compiled code, so that the next process starts in a third of the time. */
import { enableCompileCache } from "node:module";
import { fileURLToPath } from "node:url";

enableCompileCache(fileURLToPath(new URL("../../node_modules/.cache/node", import.meta.url)));
