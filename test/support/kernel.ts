/** Requirements of tests on the kernel, beyond what every supported kernel has. */
import { describeFeature, type FeatureName, probeFeature } from "@l3dsr/bpf";

/**
 * Whether this kernel has the feature. Throws if it must have it (CI sets L3DSR_REQUIRE_KERNEL=1), or if that
 * is unknown.
 */
export function kernelHas(name: FeatureName): boolean {
	const { answer } = probeFeature(name);
	if (answer === "yes") return true;
	if (answer === "no" && process.env["L3DSR_REQUIRE_KERNEL"] !== "1") return false;
	throw new Error(`needed of this kernel: ${describeFeature(name)}; the answer is "${answer}"`);
}
