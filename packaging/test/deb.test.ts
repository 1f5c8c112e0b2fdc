/** The .deb on minimal installations of the Debian releases. */
import { join } from "node:path";
import { DEB, DEB_ARCH, debianRoot, done, Host, PACKAGES, VERSION } from "./host.ts";
import { livesThrough } from "./life.ts";

const built = (suffix: string) => join(PACKAGES, `l3dsr_${VERSION}-1${suffix}_${DEB_ARCH}.deb`);

for (const [suite, old, newer] of [
	["bookworm", built("~deb12"), DEB],
	["trixie", built("~deb12"), built("~deb13")],
] as const) {
	const version = (file: string) => done("dpkg-deb", ["-f", file, "Version"]).trim();
	const name = (file: string) => file.slice(PACKAGES.length + 1);
	livesThrough(`the .deb on a minimal ${suite}`, {
		host: () => {
			const host = new Host(debianRoot(suite));
			host.put(old);
			host.put(newer);
			return host;
		},
		install: `dpkg -i ${name(old)}`,
		upgrade: `dpkg -i ${name(newer)}`,
		downgrade: `dpkg -i ${name(old)}`,
		remove: "dpkg -r l3dsr",
		installed: "dpkg-query -W l3dsr",
		versions: { old: `${version(old)}\n`, new: `${version(newer)}\n` },
	});
}
