/** The process that speaks HTTP with TLS and a token, and their renewal while it runs. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, copyFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { promisify } from "node:util";
import { enterNetns, run, waitFor } from "../../../../test/support/netns.ts";
import { RecordedAgent } from "./recorded.ts";

enterNetns();

const PATIENCE_MS = 60_000;
const folder = mkdtempSync(join(tmpdir(), "l3dsr-tls-"));
// The process that speaks HTTP reads it as another user.
chmodSync(folder, 0o755);
after(() => rmSync(folder, { recursive: true }));
const SOCKET = "/run/l3dsr/agent.sock";
const PORT = 9470;

/** Creates a certificate for localhost, and its key. */
function selfSigned(certificate: string, key: string): void {
	const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
	const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
	run("openssl", "req", ...kind, ...names, "-keyout", key, "-out", certificate);
}

describe("TLS and a token", () => {
	it("protect TCP, and not the Unix socket, which has its permissions", async () => {
		const [key, certificate, token] = ["tls.key", "tls.crt", "token"].map((name) => join(folder, name)) as [
			string,
			string,
			string,
		]; // three
		selfSigned(certificate, key);
		writeFileSync(join(folder, "index.html"), "<!doctype html><title>l3dsr</title>");
		writeFileSync(token, "correct-horse-battery-staple\n", { mode: 0o600 });
		const agent = new RecordedAgent();
		using front = agent.serve([SOCKET, `127.0.0.1:${PORT}`], {
			tls: { certificate, key },
			tokenFile: token,
			page: folder,
		});
		const asked = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", certificate];
		const curl = async (...args: string[]) => (await promisify(execFile)("curl", [...asked, ...args])).stdout;
		const served = () => curl("--unix-socket", SOCKET, "http://l3dsr/v1/status").catch(() => "");
		await waitFor("the server", async () => (await served()) === "200", PATIENCE_MS);
		const url = `https://localhost:${PORT}/v1/status`;
		assert.equal(await curl(url), "401");
		assert.equal(await curl("-H", "Authorization: Bearer correct-horse-battery-stapl", url), "401");
		assert.equal(await curl("-H", "Authorization: Bearer correct-horse-battery-staple", url), "200");
		assert.equal(await curl(`https://localhost:${PORT}/metrics`), "401");
		assert.equal(await curl(`https://localhost:${PORT}/`), "200", "the page asks for the token");
		await assert.rejects(curl(`http://localhost:${PORT}/v1/status`), "no plain HTTP");
		await assert.rejects(curl("--tls-max", "1.1", url), "no TLS below 1.2");

		// Renewed step by step: until all of it is usable, the old ones are.
		const old = join(folder, "old.crt");
		copyFileSync(certificate, old);
		const asBefore = async () =>
			await curl("--cacert", old, "-H", "Authorization: Bearer correct-horse-battery-staple", url);
		front.refresh();
		assert.deepEqual(agent.problems, [], "nothing has changed");
		const renewedKey = join(folder, "renewed.key");
		selfSigned(certificate, renewedKey);
		front.refresh();
		front.refresh();
		assert.equal(agent.problems.length, 1, agent.problems.join("\n"));
		assert.match(
			agent.problems[0] ?? "",
			/^HTTP is served as before: use the certificate .*tls\.crt with the key .*tls\.key: key values mismatch \(both are PEM/,
		);
		assert.equal(await asBefore(), "200");
		renameSync(renewedKey, key);
		writeFileSync(token, "another-horse-battery-staple\n");
		front.refresh();
		const renewed = async () =>
			await curl("-H", "Authorization: Bearer another-horse-battery-staple", url).catch(() => "");
		await waitFor("the renewed certificate", async () => (await renewed()) === "200", PATIENCE_MS);
		await assert.rejects(asBefore(), "the old certificate is gone");
		assert.equal(agent.problems.length, 1, agent.problems.join("\n"));
	});
});
