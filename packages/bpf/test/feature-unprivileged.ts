/** Probes every feature first as nobody, then as root, and prints both answers as JSON. */
import { FEATURE_NAMES, probeFeature } from "../src/feature.ts";

const answers = () => FEATURE_NAMES.map((name) => probeFeature(name).answer);
process.seteuid?.(65534);
const asNobody = answers();
process.seteuid?.(0);
const asRoot = answers();
process.stdout.write(
	JSON.stringify(Object.fromEntries(FEATURE_NAMES.map((name, n) => [name, [asNobody[n], asRoot[n]]]))),
);
