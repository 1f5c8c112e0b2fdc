/** The page in a browser, served by the process that speaks HTTP with its real limits and policy. */
import assert from "node:assert/strict";
import { chmodSync } from "node:fs";
import { after, before, test } from "node:test";
import { enterNetns, waitFor } from "../../../../test/support/netns.ts";
import { TestBrowser } from "../../../web/test/browser.ts";
import type { Front } from "../../src/serve/front.ts";
import { RecordedAgent, sample } from "./recorded.ts";

enterNetns();

const PORT = 9470;
const URL_OF_PAGE = `http://127.0.0.1:${PORT}/`;
const PATIENCE_MS = 60_000;
const TIME: string = JSON.parse(sample("status-real-server")).time;

const agent = new RecordedAgent();
let browser: TestBrowser;
let front: Front;
before(async () => {
	browser = await TestBrowser.start();
	// The process that speaks HTTP reads it as another user.
	chmodSync(browser.folder, 0o755);
	front = agent.serve([`127.0.0.1:${PORT}`], { page: browser.folder });
	const answers = () =>
		fetch(`${URL_OF_PAGE}v1/status`).then(
			({ ok }) => ok,
			() => false,
		);
	await waitFor("the server", answers, PATIENCE_MS);
});
after(async () => {
	front[Symbol.dispose]();
	await browser[Symbol.asyncDispose]();
});

test("shows the agent's data, receives events, traces, and obeys the policy", async () => {
	const { page, complaints, origins } = await browser.open(URL_OF_PAGE, TIME);
	await page.locator(".rows .row").nth(3).waitFor();
	await page.locator(".rail .finding").nth(1).waitFor();
	await page.locator(".rail .event").nth(2).waitFor();
	agent.happen("repaired what a test had broken");
	await page.locator(".rail .event", { hasText: "repaired what a test had broken" }).waitFor();
	await page.goto(`${URL_OF_PAGE}#trace?from=203.0.113.9&to=10.0.0.5&dscp=28&protocol=udp&port=53`);
	await page.getByText("No rule matches").waitFor();
	const { from, to, dscp, protocol, port } = agent.questions.at(-1) ?? {};
	assert.deepEqual([from, to, dscp, protocol, port], ["203.0.113.9", "10.0.0.5", 28, "udp", 53]);
	await page.goto(`${URL_OF_PAGE}#trace?from=203.0.113.9&to=elsewhere`);
	await page.getByText("to is not an IPv4 or IPv6 address").waitFor();
	assert.deepEqual(complaints, []);
	assert.deepEqual([...origins], [new URL(URL_OF_PAGE).origin]);
	await page.context().close();
});

test("reports that the process that speaks HTTP was killed, and shows the host again after its restart", async () => {
	const { page } = await browser.open(URL_OF_PAGE, TIME);
	await page.locator(".pulse", { hasText: "live" }).waitFor();
	const { pid } = front;
	assert.ok(pid !== undefined);
	process.kill(pid, "SIGKILL");
	await page.locator(".notice", { hasText: "The agent has not answered for" }).waitFor();
	await page.locator(".pulse", { hasText: "live" }).waitFor({ timeout: PATIENCE_MS });
	assert.notEqual(front.pid, pid);
	await page.context().close();
});

test("reports that the agent cannot answer, with the reason", async () => {
	const { page } = await browser.open(URL_OF_PAGE, TIME);
	await page.locator(".pulse", { hasText: "live" }).waitFor();
	const { status } = agent.texts;
	agent.texts.status = "";
	await page.locator(".pulse", { hasText: "no answer" }).waitFor();
	agent.texts.status = status;
	await page.locator(".pulse", { hasText: "live" }).waitFor();
	await page.context().close();
});
