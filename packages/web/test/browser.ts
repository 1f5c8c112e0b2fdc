/** Debian's Chromium, driven by playwright-core, with pages of a simulated agent. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { StatusRecord } from "@l3dsr/records";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { buildPage } from "../../../scripts/page.ts";
import { waitFor } from "../../../test/support/netns.ts";
import { StandIn } from "./stand-in.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** A browser with the built page. Dispose of it when done. */
export class TestBrowser implements AsyncDisposable {
	readonly folder: string;
	/** The compressed size of each file that a browser loads, in bytes. */
	readonly sizes: ReadonlyMap<string, number>;
	readonly #browser: Browser;

	private constructor(browser: Browser, folder: string, sizes: ReadonlyMap<string, number>) {
		this.#browser = browser;
		this.folder = folder;
		this.sizes = sizes;
	}

	static async start(): Promise<TestBrowser> {
		const folder = mkdtempSync(join(tmpdir(), "l3dsr-page-"));
		const [browser, sizes] = await Promise.all([
			chromium.launch({
				executablePath: "/usr/bin/chromium",
				// Tests run as root, which Chromium's sandbox does not support.
				args: ["--no-sandbox", "--disable-dev-shm-usage"],
			}),
			buildPage(ROOT, folder),
		]);
		return new TestBrowser(browser, folder, sizes);
	}

	/** Starts an agent of a host, and a connected page. */
	async visit(status: StatusRecord, options: VisitOptions = {}): Promise<Visit> {
		const agent = new StandIn(this.folder, status);
		options.prepare?.(agent);
		await agent.start();
		const shown = await this.open(`${agent.url}${options.hash ?? ""}`, status.time, options.context);
		return new Visit(agent, shown);
	}

	/** Opens a page at this address, a minute after `time`; returns as soon as it shows something. */
	async open(url: string, time: string, options: BrowserContextOptions = {}): Promise<ShownPage> {
		const context = await this.#browser.newContext({
			viewport: { width: 1280, height: 800 },
			timezoneId: "UTC",
			locale: "en-GB",
			// An endless animation would waste CPU time.
			reducedMotion: "reduce",
			...options,
		});
		const page = await context.newPage();
		page.setDefaultTimeout(10_000);
		const shown: ShownPage = { page, complaints: [], origins: new Set() };
		page.on("pageerror", ({ message }) => shown.complaints.push(message));
		page.on("console", (message) => {
			// The browser reports each answer that is not 200; the page itself logs nothing.
			if (!message.text().startsWith("Failed to load resource")) shown.complaints.push(message.text());
		});
		page.on("request", (request) => shown.origins.add(new URL(request.url()).origin));
		await page.clock.setFixedTime(new Date(Date.parse(time) + 60_000));
		await page.addInitScript(hurry, HURRY);
		await page.goto(url);
		await page.locator(".glance, .notice").first().waitFor();
		return shown;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#browser.close();
		rmSync(this.folder, { recursive: true });
	}
}

/** The page's timers run this many times faster: a test sees a minute in a second or two. */
const HURRY = 40;

/** Runs in the page before its own code. */
function hurry(times: number): void {
	const original = globalThis.setTimeout;
	const hurried = (run: () => void, ms = 0): unknown => original(run, ms / times);
	Object.assign(globalThis, { setTimeout: hurried });
}

export interface VisitOptions {
	readonly hash?: string;
	readonly context?: BrowserContextOptions;
	/** Called before the page is loaded. */
	readonly prepare?: (agent: StandIn) => void;
}

/** A page, and the browser's complaints about it. */
export interface ShownPage {
	readonly page: Page;
	/** Errors of scripts, and violations of the policy. */
	readonly complaints: string[];
	/** The origins of the page's requests. */
	readonly origins: Set<string>;
}

/** A page and the agent that it shows. */
export class Visit implements AsyncDisposable, ShownPage {
	readonly agent: StandIn;
	readonly page: Page;
	readonly complaints: string[];
	readonly origins: Set<string>;

	constructor(agent: StandIn, { page, complaints, origins }: ShownPage) {
		this.agent = agent;
		this.page = page;
		this.complaints = complaints;
		this.origins = origins;
	}

	/** Waits until the page has polled `count` more times and shows the last answer. */
	async looks(count: number): Promise<void> {
		const wanted = this.agent.looks + count + 1;
		await waitFor(`${count} looks of the page`, () => this.agent.looks >= wanted, 30_000);
	}

	/** The text of every element, as a reader sees it. */
	async texts(selector: string): Promise<readonly string[]> {
		return await this.page.locator(selector).allInnerTexts();
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.page.context().close();
		await this.agent.kill();
	}
}
