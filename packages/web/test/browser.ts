/** Debian's Chromium, driven by playwright-core, and pages of a stand-in for the agent. */

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

/** A browser, and the page as it is built. Dispose when done. */
export class TestBrowser implements AsyncDisposable {
	readonly folder: string;
	/** What a browser loads, in bytes, compressed. */
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
				// Tests run as root, whom its sandbox does not take.
				args: ["--no-sandbox", "--disable-dev-shm-usage"],
			}),
			buildPage(ROOT, folder),
		]);
		return new TestBrowser(browser, folder, sizes);
	}

	/** An agent of a host, and a page of it that is connected. */
	async visit(status: StatusRecord, options: VisitOptions = {}): Promise<Visit> {
		const agent = new StandIn(this.folder, status);
		options.prepare?.(agent);
		await agent.start();
		const shown = await this.open(`${agent.url}${options.hash ?? ""}`, status.time, options.context);
		return new Visit(agent, shown);
	}

	/** A page at this address, a minute after `time`, as soon as it shows anything. */
	async open(url: string, time: string, options: BrowserContextOptions = {}): Promise<ShownPage> {
		const context = await this.#browser.newContext({
			viewport: { width: 1280, height: 800 },
			timezoneId: "UTC",
			locale: "en-GB",
			// A pulse that goes on for ever is work for nothing.
			reducedMotion: "reduce",
			...options,
		});
		const page = await context.newPage();
		page.setDefaultTimeout(10_000);
		const shown: ShownPage = { page, complaints: [], origins: new Set() };
		page.on("pageerror", ({ message }) => shown.complaints.push(message));
		page.on("console", (message) => {
			// The browser tells of each answer that is not 200; the page itself writes nothing.
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

/** The page waits so many times shorter than it says: a test sees a minute in a second or two. */
const HURRY = 40;

/** Runs in the page, before it. */
function hurry(times: number): void {
	const original = globalThis.setTimeout;
	const hurried = (run: () => void, ms = 0): unknown => original(run, ms / times);
	Object.assign(globalThis, { setTimeout: hurried });
}

export interface VisitOptions {
	readonly hash?: string;
	readonly context?: BrowserContextOptions;
	/** Before the page is loaded. */
	readonly prepare?: (agent: StandIn) => void;
}

/** A page, and what the browser complained of. */
export interface ShownPage {
	readonly page: Page;
	/** Errors of scripts, and violations of the policy. */
	readonly complaints: string[];
	/** Where the page sent requests to. */
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

	/** Until the page has asked so many times more, and shows the last answer. */
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
