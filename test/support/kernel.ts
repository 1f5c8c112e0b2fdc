/** What tests need of the kernel beyond what every supported one has. */
import { describeFeature, type FeatureName, probeFeature } from "@l3dsr/bpf";

/** Whether this kernel has it. Throws where it has to (CI sets L3DSR_REQUIRE_KERNEL=1), and when it cannot be told. */
export function kernelHas(name: FeatureName): boolean {
	const { answer } = probeFeature(name);
	if (answer === "yes") return true;
	if (answer === "no" && process.env["L3DSR_REQUIRE_KERNEL"] !== "1") return false;
	throw new Error(`needed of this kernel: ${describeFeature(name)}; the answer is "${answer}"`);
}
