/** The man pages on a host with the package. */
import assert from "node:assert/strict";
import { posix } from "node:path";
import { after, before, describe, it } from "node:test";
import { COMMANDS, DEB, Host } from "./host.ts";

describe("the documents", () => {
	let host: Host;
	before(() => {
		host = new Host();
		host.run(`dpkg -i ${host.put(DEB)}`);
	});
	after(() => host[Symbol.dispose]());

	it("link to installed files", () => {
		const documents = host.run("find /usr/share/doc/l3dsr -name '*.md'").trim().split("\n");
		const links = documents.flatMap((path) =>
			[...host.run(`cat ${path}`).matchAll(/\]\((?![a-z]+:|#)([^)#]+)/g)].map(([, target = ""]) =>
				posix.join(posix.dirname(path), target),
			),
		);
		assert.ok(links.length > 20, String(links.length));
		assert.equal(
			host.run(`for link in ${[...new Set(links)].join(" ")}; do [ -e $link ] || echo $link; done`),
			"",
		);
	});

	it("have configurations to start with, which l3dsr accepts", () => {
		const [first] = host.run("ls /usr/share/doc/l3dsr/examples/*.yaml").split("\n");
		assert.match(host.run(`l3dsr export nft -c ${first}`), /table ip/);
	});
});

describe("the man pages", () => {
	let host: Host;
	before(() => {
		host = new Host();
		host.run(`dpkg -i ${host.put(DEB)}`);
	});
	after(() => host[Symbol.dispose]());

	const pages = () =>
		host
			.run("dpkg -L l3dsr | grep /usr/share/man/man./")
			.trim()
			.split("\n")
			.map((path) => ({ path, name: path.replace(/^.*\/|\.\d\.gz$/g, ""), section: path.at(-4) ?? "" }));

	it("exist for every command, every subcommand with a document, and every file", () => {
		const names = pages().map(({ name, section }) => `${name}(${section})`);
		const subcommands = ["probe", "trace", "watch", "export", "import"].map((name) => `l3dsr-${name}`);
		for (const command of [...COMMANDS, ...subcommands]) assert.ok(names.includes(`${command}(8)`), command);
		for (const file of ["l3dsr.yaml", "dsr.conf"]) assert.ok(names.includes(`${file}(5)`), file);
		assert.ok(names.includes("l3dsr-errors(7)"), names.join());
	});

	it("are rendered without a warning by man, even in locale C, and by mandoc", () => {
		for (const { path, name, section } of pages()) {
			assert.equal(host.run(`mandoc -Tlint ${path}`), "", path);
			for (const locale of ["C", "C.UTF-8"]) {
				const { status, stdout, stderr } = host.attempt(
					`LC_ALL=${locale} MANWIDTH=80 man --warnings -P cat ${section} ${name}`,
				);
				assert.deepEqual({ status, stderr }, { status: 0, stderr: "" }, `${path} ${locale}`);
				assert.match(stdout, new RegExp(`\\b${name}\\b`));
			}
		}
	});

	it("name documents that are installed", () => {
		for (const { path } of pages()) {
			const text = host.run(`gzip -dc $(realpath ${path})`).replaceAll("\\-", "-");
			for (const [document] of text.matchAll(/\/usr\/share\/doc\/[\w./-]*\w/g)) {
				host.run(`test -e ${document} || { echo ${path} names ${document}; exit 1; }`);
			}
		}
	});

	it("of commands have a synopsis, exit status, environment, files and see also, in this order", () => {
		for (const { path, section } of pages()) {
			if (section !== "8") continue;
			const headings = host.run(`gzip -dc $(realpath ${path}) | sed -n 's/^\\.SH //p'`).trim().split("\n");
			const standard = ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"];
			assert.deepEqual(
				headings.filter((heading) => standard.includes(heading)),
				standard,
				path,
			);
		}
	});

	it("keep the indentation of examples", () => {
		const page = "/usr/share/man/man5/l3dsr.yaml.5.gz";
		assert.match(
			host.run(`mandoc -Tascii ${page} | col -bx`),
			/^( +)services:\n\1 {2}- vip: 192\.0\.2\.10\n\1 {4}dscp: 7$/m,
		);
	});

	it("show real commands as they are typed", () => {
		for (const { path, name } of pages()) {
			// A page of several names is one text.
			if (name === "l3dsr-errors" || host.attempt(`[ -L ${path} ]`).status === 0) continue;
			const command = ["l3dsr.yaml", "fleet.yaml", "l3dsr-capabilities"].includes(name)
				? "l3dsr"
				: name === "dsr.conf"
					? "dsrctl"
					: name.replace(/-(probe|trace|watch|export|import)$/, " $1");
			const text = host.run(`mandoc -Tascii ${path} | col -bx`);
			assert.match(text, new RegExp(`^ {11}(# .*\\b| +)${command} `, "m"), path);
		}
	});
});
