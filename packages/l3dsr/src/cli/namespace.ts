/** `--netns`: runs a command in another network namespace. */
import { listNamedNamespaces, NetworkNamespace, namedNamespacePath } from "@l3dsr/linux";
import { L3dsrError } from "../errors.ts";
import { requirePrivileges } from "../host/capabilities.ts";

/**
 * Runs `work` here; with `--netns`, moves this process into that namespace until `work` is done. Not in a child
 * process, which would continue if this one were killed. Throws L3dsrError (USAGE) if no namespace has that name.
 */
export async function inNamespace<T>(
	{ netns }: { readonly netns?: string },
	work: () => Promise<T>,
): Promise<T> {
	if (netns === undefined) return await work();
	const names = listNamedNamespaces();
	if (!names.includes(netns)) {
		throw new L3dsrError({
			code: "USAGE",
			message: `there is no network namespace ${netns}`,
			hint: `ls /run/netns lists them: ${names.join(", ") || "none is there"}`,
		});
	}
	requirePrivileges(`--netns ${netns}`, ["namespaces"]);
	using home = NetworkNamespace.current();
	using there = NetworkNamespace.open(namedNamespacePath(netns));
	there.enter();
	try {
		return await work();
	} finally {
		home.enter();
	}
}
