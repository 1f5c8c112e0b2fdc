/** The version of l3dsr, in one place: package.json, which the build puts into the bundle. */
import manifest from "../../package.json" with { type: "json" };

export const VERSION: string = manifest.version;
