/** Requirements of tests on the kernel, beyond what every supported kernel has. */
import { describeFeature, type FeatureName, probeFeature } from "@l3dsr/bpf";
import { Nftables, NftablesError } from "@l3dsr/nftables";

const mustHave = process.env["L3DSR_REQUIRE_KERNEL"] === "1";

/**
 * Whether this kernel has the feature. Throws if it must have it (CI sets L3DSR_REQUIRE_KERNEL=1), or if that
 * is unknown.
 */
export function kernelHas(name: FeatureName): boolean {
	const { answer } = probeFeature(name);
	if (answer === "yes") return true;
	if (answer === "no" && !mustHave) return false;
	throw new Error(`needed of this kernel: ${describeFeature(name)}; the answer is "${answer}"`);
}

/** Whether a table of nftables can have an owner (Linux 5.12); throws like {@link kernelHas}. */
export function kernelHasTableOwners(): boolean {
	using nft = new Nftables();
	try {
		nft.transact([{ do: "add table", table: { family: "ip", name: "l3test_owned", flags: ["owner"] } }]);
		return true;
	} catch (error) {
		if (error instanceof NftablesError && error.code === "REFUSED" && !mustHave) return false;
		throw error;
	}
}
