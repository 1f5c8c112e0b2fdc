/** The npm package, installed by npm into another project's folder. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { attempt, COMMANDS, done, PACKAGES, ROOT, VERSION } from "./host.ts";

/** A TypeScript program that uses the library. */
const PROGRAM = `
import { asm, ETHERNET, IPV4, Program, ProgramBuilder, SKB, TC_ACT, testRun, view } from "@l3dsr/bpf";

const p = new ProgramBuilder({ name: "drop_udp", type: "BPF_PROG_TYPE_SCHED_CLS" });
const ctx = p.context(SKB);
const pass = p.label("pass");
const data = p.load(ctx.data, { name: "data" });
const end = p.load(ctx.data_end, { name: "end" });
p.prove(data, ETHERNET.bytes + IPV4.bytes, end, pass);
p.if(view(data, IPV4, ETHERNET.bytes).protocol, "==", 17, () => p.exit(TC_ACT.SHOT));
p.place(pass);
p.exit(TC_ACT.OK);
const spec = p.build();
const listing: string = asm.formatListing(spec.instructions);
if (listing === "") throw new Error("no listing");

using program = Program.load(spec);
const packet = new Uint8Array(64);
packet[14 + 9] = 17;
const { verdict } = testRun(program, { data: packet });
console.log(verdict === TC_ACT.SHOT);
`;

describe("the npm package", () => {
	const project = mkdtempSync(join(tmpdir(), "l3dsr-npm-"));
	const inProject = (script: string) => done("sh", ["-euc", `cd '${project}'; ${script}`]);
	const file = join(PACKAGES, `l3dsr-${VERSION}.tgz`);
	const installed = join(project, "node_modules/l3dsr");

	before(() => {
		writeFileSync(join(project, "package.json"), '{ "type": "module", "private": true }');
		inProject(`npm install --silent --no-audit --no-fund '${file}'`);
	});
	after(() => rmSync(project, { recursive: true }));

	it("is the same to the byte from every npm pack", () => {
		inProject(`npm pack --silent '${ROOT}build/npm/l3dsr'`);
		done("cmp", [file, join(project, `l3dsr-${VERSION}.tgz`)]);
	});

	it("has every command, uses the existing Node, and needs only koffi", () => {
		for (const command of COMMANDS) {
			assert.ok(inProject(`node_modules/.bin/${command} --version`).includes(VERSION), command);
			inProject(`node_modules/.bin/${command} --help`);
		}
		const others = readdirSync(join(project, "node_modules")).filter((name) => !name.startsWith("."));
		assert.deepEqual(others.sort(), ["@koromix", "koffi", "l3dsr"]);
		const service = join(project, "l3dsr.yaml");
		writeFileSync(service, "services: [{ vip: 192.0.2.10, dscp: 7 }]\n");
		assert.match(inProject(`node_modules/.bin/l3dsr export nft -c ${service}`), /192\.0\.2\.10/);
	});

	it("has no code cache: V8 accepts that of another processor, and crashes", () => {
		assert.deepEqual(
			readdirSync(join(installed, "dist")).filter((name) => name.endsWith(".cache")),
			[],
		);
	});

	it("has the man pages where man looks after a global installation, README and licenses", () => {
		const prefix = join(project, "prefix");
		inProject(`npm install --silent --no-audit --no-fund --global --prefix '${prefix}' '${file}'`);
		const pages = readdirSync(join(installed, "man"), { recursive: true, encoding: "utf8" });
		assert.equal(pages.filter((page) => page.endsWith(".8")).length, 8 + 5);
		for (const page of pages) assert.ok(existsSync(join(prefix, "share/man", page)), page);
		for (const name of ["README.md", "LICENSE", "CHANGELOG.md", "licenses/commander"])
			assert.ok(existsSync(join(installed, name)), name);
		assert.match(readFileSync(join(installed, "package.json"), "utf8"), /"node": ">=24"/);
	});

	it("has types for @l3dsr/bpf, in a project with every check on", () => {
		const libraries = ["linux", "bpf"].map((name) => `'${join(PACKAGES, `l3dsr-${name}-${VERSION}.tgz`)}'`);
		inProject(`npm install --silent --no-audit --no-fund ${libraries.join(" ")}`);
		writeFileSync(join(project, "program.ts"), PROGRAM);
		writeFileSync(join(project, "tsconfig.json"), tsconfig("nodenext"));
		const tsc = join(ROOT, "node_modules/.bin/tsc");
		inProject(`'${tsc}' -p .`);
		assert.equal(inProject(`${process.execPath} program.js`).trim(), "true");

		writeFileSync(join(project, "program.ts"), PROGRAM.replace("verdict ===", "verdict.length ==="));
		const { status, stdout } = attempt("sh", ["-c", `cd '${project}'; '${tsc}' -p .`]);
		assert.notEqual(status, 0);
		assert.match(stdout, /Property 'length' does not exist on type 'number'/);
	});
});

function tsconfig(module: string): string {
	const compilerOptions = {
		target: "es2022",
		module,
		lib: ["es2023"],
		types: ["node"],
		typeRoots: [join(ROOT, "node_modules/@types")],
		strict: true,
		skipLibCheck: false,
		exactOptionalPropertyTypes: true,
		noUncheckedIndexedAccess: true,
	};
	return JSON.stringify({ compilerOptions, files: ["program.ts"] });
}
