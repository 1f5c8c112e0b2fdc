/** The one place that knows the version of l3dsr: package.json, put into the bundle when it is built. */
import manifest from "../../package.json" with { type: "json" };

export const VERSION: string = manifest.version;
