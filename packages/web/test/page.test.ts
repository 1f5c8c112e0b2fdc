/** Compares the page in Debian's Chromium with the API of a simulated agent. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import type { StatusRecord } from "@l3dsr/records";
import { waitFor } from "../../../test/support/netns.ts";
import { exact } from "../src/state/format.ts";
import { checkText } from "../src/state/pools.ts";
import { rowsOf } from "../src/state/services.ts";
import { TestBrowser } from "./browser.ts";
import {
	director,
	events,
	findings,
	later,
	manyServices,
	realServer,
	shopDirector,
	shopServer,
	trace,
} from "./hosts.ts";
import { PLACES, showPlace } from "./places.ts";
import { PICTURES, takePictures } from "./screenshots.ts";

let browser: TestBrowser;
before(async () => {
	browser = await TestBrowser.start();
});
after(async () => await browser[Symbol.asyncDispose]());

describe("the page shows", () => {
	test("services with state, VIP, code, conditions and counters, in the order of the configuration", async () => {
		const status = realServer();
		await using visit = await browser.visit(status, { context: { viewport: { width: 1900, height: 1000 } } });
		const rows = await visit.page
			.locator(".rows .row")
			.evaluateAll((all) =>
				all.map((row) =>
					["state .word", "name", "vip", "dscp", "takes", "by"].map(
						(cell) => row.querySelector(`.${cell}`)?.textContent ?? "",
					),
				),
			);
		assert.deepEqual(
			rows,
			rowsOf(status).map(({ state, name, vip, codes, takes, by }) => [
				state,
				name,
				vip,
				codes.join(", ") || "–",
				takes || "all of the code",
				by || "–",
			]),
		);
		const titles = await visit.page
			.locator(".rows .packets")
			.evaluateAll((all) => all.map((cell) => cell.getAttribute("title")));
		assert.deepEqual(
			titles,
			status.services.map(({ packets }) => `${exact(packets)} packets in all`),
		);
		assert.match((await visit.page.locator(".verdict").textContent()) ?? "", /1 of 4 services is not up/);
		assert.equal(await visit.page.title(), "real1.example.net");
		assert.deepEqual(visit.complaints, []);
		assert.deepEqual(
			[...visit.origins],
			[new URL(visit.agent.url).origin],
			"nothing is loaded from elsewhere",
		);
	});

	test("the matrix of a director, with state, share and reason of each real server", async () => {
		const status = director();
		await using visit = await browser.visit(status, { hash: "#pools/front" });
		const [web] = status.director?.services ?? [];
		assert.ok(web !== undefined);
		const cells = await visit.texts(".matrix td .state");
		const shares = web.reals.map(({ state, share }) => `${state} ${Math.round(share * 100)} %`);
		assert.deepEqual(
			cells.map((text) => text.replace(/^\S+\s+/, "").replace(/\s+/g, " ")),
			shares,
		);
		const checks = web.reals.flatMap(({ check }) => (check === undefined ? [] : [check]));
		assert.ok(checks.length > 0);
		assert.deepEqual(
			await visit.texts(".matrix td .check"),
			checks.map((check) => checkText(check, Date.parse(status.time))),
		);
		const reals = await visit.texts(".matrix th[scope=row]");
		for (const [index, { name, address, weight, reason = "" }] of web.reals.entries()) {
			for (const part of [name, address, `weight ${weight}`, reason]) {
				assert.ok(reals[index]?.includes(part), `${part} in ${reals[index]}`);
			}
		}
		assert.match(
			(await visit.texts(".matrix thead th")).join(" "),
			/192\.0\.2\.10.*DSCP 7 \(TOS 0x1c\).*in transition/s,
		);
		const reasons = await visit.texts(".reasons tbody tr");
		for (const { reason, packets } of status.director?.reasons ?? []) {
			assert.equal(
				reasons.some((text) => text.includes(reason) && text.includes(exact(packets))),
				packets > 0,
				reason,
			);
		}
	});

	test("findings with their remedies, and events with the actions taken", async () => {
		await using visit = await browser.visit(realServer(), {
			hash: "#findings",
			prepare: (agent) => {
				agent.findings = findings().findings;
				agent.events = [...events().events];
			},
		});
		await visit.page.locator("main .finding").first().waitFor();
		const shown = await visit.texts("main .finding");
		for (const [index, { message, remedy }] of findings().findings.entries()) {
			assert.ok(shown[index]?.includes(message), message);
			assert.ok(shown[index]?.includes(remedy ?? message), remedy ?? "");
		}
		await visit.page
			.getByRole("navigation", { name: "Places" })
			.getByRole("link", { name: "Events" })
			.click();
		await visit.page.locator("main .event summary").first().click();
		const listed = await visit.texts("main .event");
		assert.deepEqual(
			listed.map((text) => events().events.find(({ message }) => text.includes(message))?.id),
			[3, 2, 1],
			"the newest first",
		);
		assert.match(listed[1] ?? "", /Changed by nft, process 9981.*iptables-daddr -t raw -A PREROUTING/s);
		assert.match(listed[0] ?? "", /CONFIG_DSCP_RANGE: DSCP 64 is out of range/);
	});

	test("rates as the difference of counters over the time between records", async () => {
		const status = realServer();
		await using visit = await browser.visit(status, {
			prepare: (agent) => {
				let looks = 0;
				agent.beforeStatus = () => {
					const seconds = 2 * looks++;
					agent.status = {
						...status,
						time: new Date(Date.parse(status.time) + seconds * 1000).toISOString(),
						services: status.services.map((service) => ({
							...service,
							packets: service.packets === null ? null : service.packets + 1500 * seconds,
							bytes: service.bytes === null ? null : service.bytes + 1_000_000 * seconds,
						})),
					};
				};
			},
		});
		await visit.looks(2);
		assert.deepEqual(await visit.texts(".rows .packets"), ["1.50k", "1.50k", "1.50k", "–"]);
		assert.deepEqual(await visit.texts(".rows .bits"), ["8.00M", "8.00M", "8.00M", "–"]);
		assert.deepEqual(await visit.texts(".traffic .value"), ["4.50k /s", "24.0M bit/s"]);
	});

	test("a picture of the way, with addresses and codes, and where it is broken", async () => {
		const status = realServer();
		const key = encodeURIComponent("dns 192.0.2.53 DSCP 10 (TOS 0x28), udp/tcp 53");
		await using visit = await browser.visit(status, { hash: `#services/${key}` });
		const picture = visit.page.getByRole("img", { name: /The client sends to 192\.0\.2\.53/ });
		const text = await picture.evaluate((svg) => svg.textContent);
		for (const part of [
			"DSCP 10 (TOS 0x28)",
			"real1",
			"the VIP is not on lo",
			"from 192.0.2.53 to the client",
		]) {
			assert.ok(text?.includes(part), `${part} in ${text}`);
		}
		assert.equal(await picture.locator(".hop.broken").count(), 2);
	});
});

describe("updates", () => {
	test("arrive by server-sent events, and screen readers announce the change", async () => {
		const status = realServer();
		await using visit = await browser.visit(status, { context: { viewport: { width: 1400, height: 900 } } });
		const { agent, page } = visit;
		await page.locator(".rail .events").waitFor();
		assert.equal(await page.locator(".event").count(), 0);
		const [repaired] = events().events.slice(1);
		assert.ok(repaired !== undefined);
		agent.happen(repaired);
		await page.locator(".rail .event", { hasText: repaired.message }).waitFor();
		const [web, ...others] = status.services;
		assert.ok(web !== undefined);
		agent.status = {
			...status,
			time: plus(status, 1),
			services: [{ ...web, state: "down", loopback: null }, ...others],
		};
		agent.findings = findings().findings;
		agent.changed();
		await page.locator(".rail .finding").nth(1).waitFor();
		await page.getByText("Service web is down.").waitFor();
		await page.getByText("2 of 4 services are not up").waitFor();
	});

	test("report a killed agent, keep the old data, and resume when it answers again", async () => {
		const status = shopServer();
		await using visit = await browser.visit(status, {
			prepare: (agent) => {
				agent.beforeStatus = () => {
					agent.status = later(agent.status, 1);
				};
			},
		});
		const { agent, page } = visit;
		await visit.looks(3);
		assert.equal(await page.locator(".pulse").textContent(), "live");
		await agent.kill();
		await page.locator(".notice", { hasText: "The agent has not answered for" }).waitFor();
		assert.equal(await page.locator(".pulse").textContent(), "no answer");
		assert.match(await page.title(), /^no answer: /);
		assert.equal((await page.locator(".rows .row").count()) > 10, true, "the services are still there");
		assert.deepEqual([...new Set(await visit.texts(".rows .packets"))], ["–"], "rates are not, they are old");
		assert.match((await page.locator(".notices").textContent()) ?? "", /Packets go on/);
		await agent.start();
		await page.locator(".pulse", { hasText: "live" }).waitFor();
		assert.equal(await page.locator(".notice").count(), 0);
		await waitFor("rates", async () => !(await visit.texts(".rows .packets")).includes("–"));
	});

	test("start only after an agent that requires a token has accepted it", async () => {
		await using visit = await browser.visit(realServer(), {
			prepare: (agent) => {
				agent.token = "correct-horse";
			},
		});
		const { page } = visit;
		await page.getByText("The agent requires its token").waitFor();
		assert.equal(await page.locator(".row").count(), 0);
		const field = page.getByLabel("Token");
		await field.fill("wrong");
		await page.getByRole("button", { name: "Show the host" }).click();
		await page.getByText("The agent rejects this token").waitFor();
		await field.fill("correct-horse");
		await page.getByRole("button", { name: "Show the host" }).click();
		await page.locator(".rows .row").nth(3).waitFor();
		assert.equal(await page.locator(".notice").count(), 0);
	});

	test("put the reason why an agent cannot work above everything else", async () => {
		const status = realServer();
		const { agent } = status;
		assert.ok(agent !== undefined);
		const [{ errors = [] } = {}] = events().events.slice(2);
		await using visit = await browser.visit({
			...status,
			refused: "take rules away from a service that runs",
			agent: { ...agent, condition: "contended", configuration: { ...agent.configuration, refused: errors } },
		});
		const notices = (await visit.texts(".notice")).join("\n");
		assert.match(notices, /l3dsr\.yaml is invalid and changes nothing/);
		assert.match(notices, /line 4: DSCP 64 is out of range/);
		assert.match(notices, /Something else repeatedly changes this host back/);
		assert.match(notices, /It will refuse to take rules away/);
	});
});

describe("a thousand services", () => {
	test("are a list that draws the visible rows, keeps its layout when counters change, and has an end", async () => {
		await using visit = await browser.visit(manyServices(1000), {
			prepare: (agent) => {
				agent.beforeStatus = () => {
					agent.status = later(agent.status, 1);
				};
			},
		});
		const { page } = visit;
		await page.evaluate(() => {
			const moved: string[] = [];
			Object.assign(globalThis, { moved });
			new PerformanceObserver((list) => {
				const sources = list.getEntries().flatMap((entry) => (entry as LayoutShift).sources);
				// Only the digits at the right edge of the cell change their width; the cell stays in place.
				for (const { node } of sources) if (node instanceof Element) moved.push(node.outerHTML.slice(0, 200));
			}).observe({ type: "layout-shift", buffered: true });
		});
		await visit.looks(3);
		const height = await page.evaluate(() => document.documentElement.scrollHeight);
		await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
		await page.locator(".rows .name", { hasText: "service-1000" }).waitFor();
		await visit.looks(3);
		assert.ok((await page.locator(".rows .row").count()) < 60, "only visible rows are in the document");
		assert.equal(await page.evaluate(() => document.documentElement.scrollHeight), height);
		assert.deepEqual(await page.evaluate(() => (globalThis as unknown as { moved: string[] }).moved), []);
		assert.equal(await page.getByRole("grid").getAttribute("aria-rowcount"), "1001");
	});

	test("are filtered and sorted", async () => {
		const status = manyServices(1000);
		const services = status.services.map((service, index) =>
			index === 616 ? { ...service, state: "down" as const } : service,
		);
		await using visit = await browser.visit({ ...status, services });
		const { page } = visit;
		const first = async (): Promise<string | undefined> => (await visit.texts(".rows .name"))[0];
		await page.getByRole("button", { name: "State" }).click();
		await waitFor("the worst first", async () => (await first()) === "service-617");
		assert.equal(
			await page.getByRole("columnheader", { name: "State" }).getAttribute("aria-sort"),
			"ascending",
		);
		await page.getByRole("button", { name: "Service" }).click();
		await page.getByRole("button", { name: "Service" }).click();
		await waitFor("the last first", async () => (await first()) === "service-1000");
		await page.getByRole("searchbox").fill("!up");
		await page.getByText("1 of 1000", { exact: true }).waitFor();
		assert.deepEqual(await visit.texts(".rows .name"), ["service-617"]);
		await page.getByRole("searchbox").fill("dscp 5 service-5");
		await page.getByText(/^\d+ of 1000$/).waitFor();
		await page.getByRole("searchbox").fill("nothing like it");
		await page.getByText("No service has nothing like it.").waitFor();
	});

	test("are reached with the keyboard alone", async () => {
		await using visit = await browser.visit(manyServices(1000));
		const { page } = visit;
		const focused = (): Promise<string> =>
			page.evaluate(
				() =>
					document.activeElement?.querySelector(".name")?.textContent ??
					document.activeElement?.textContent ??
					"",
			);
		await page.keyboard.press("Tab");
		assert.equal(await focused(), "Skip to the content");
		await page.keyboard.press("Enter");
		assert.equal(await page.evaluate(() => document.activeElement?.id), "content");
		await page.getByRole("searchbox").focus();
		// Past the buttons for sorting, to the one row that the Tab key reaches.
		await waitFor("a row that has the focus", async () => {
			await page.keyboard.press("Tab");
			return (await focused()) === "service-1";
		});
		await page.keyboard.press("ArrowDown");
		await page.keyboard.press("ArrowDown");
		await waitFor("the third", async () => (await focused()) === "service-3");
		await page.keyboard.press("End");
		await waitFor("the last", async () => (await focused()) === "service-1000");
		assert.ok(
			await page.evaluate(() => {
				const box = document.activeElement?.getBoundingClientRect();
				return box !== undefined && box.top >= 0 && box.bottom <= innerHeight;
			}),
			"the focused element is visible",
		);
		await page.keyboard.press("Enter");
		await page.getByRole("heading", { name: "service-1000" }).waitFor();
		await page.keyboard.press("Home");
		await waitFor("the first", async () => (await focused()) === "service-1");
	});
});

describe("on every screen", () => {
	const SIZES = [
		{ width: 360, height: 640 },
		{ width: 1280, height: 800 },
		{ width: 3840, height: 1200 },
	] as const;
	const long = {
		name: `a-service-with-a-name-of-${"x".repeat(60)}`,
		vip: "2001:db8:1111:2222:3333:4444:5555:6666",
	};
	for (const host of [shopServer(), shopDirector()]) {
		test(`from 360 pixels to 4k, no place of a ${host.host.roles[0]} is cut off at the side`, async () => {
			const [first, ...others] = host.services;
			const services = first === undefined ? [] : [{ ...first, ...long }, ...others];
			const status = { ...host, services };
			await using visit = await browser.visit(status, {
				prepare: (agent) => {
					agent.findings = findings().findings;
					agent.events = [...events().events];
					agent.trace = trace();
				},
			});
			const opened = `#services/${encodeURIComponent(rowsOf(status)[0]?.key ?? "")}`;
			for (const size of SIZES) {
				await visit.page.setViewportSize(size);
				for (const hash of [...PLACES, opened, "#trace?from=203.0.113.9&to=10.0.0.5"]) {
					const widths = await visit.page.evaluate(async (wanted) => {
						location.hash = wanted;
						await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
						const { scrollWidth, clientWidth } = document.documentElement;
						return { scrollWidth, clientWidth };
					}, hash);
					assert.ok(
						widths.scrollWidth <= widths.clientWidth,
						`${size.width} ${hash}: ${JSON.stringify(widths)}`,
					);
				}
			}
			assert.deepEqual(visit.complaints, []);
		});
	}

	test("colours follow the system or the reader's choice", async () => {
		await using visit = await browser.visit(realServer(), { context: { colorScheme: "dark" } });
		const { page } = visit;
		const ground = (): Promise<string> =>
			page.evaluate(() => getComputedStyle(document.body).backgroundColor);
		const dark = await ground();
		await page.emulateMedia({ colorScheme: "light" });
		const light = await ground();
		assert.notEqual(dark, light);
		await page.getByLabel("Colours").selectOption("dark");
		assert.equal(await ground(), dark);
		await page.reload();
		await page.locator(".glance").waitFor();
		assert.equal(await ground(), dark, "it is kept");
	});
});

describe("the trace form", () => {
	test("traces the packet that it shows, and explains which rule nearly matched", async () => {
		await using visit = await browser.visit(realServer(), {
			hash: "#trace",
			prepare: (agent) => {
				agent.trace = trace();
			},
		});
		const { page, agent } = visit;
		await page.getByLabel("To (this host's own address)").fill("10.0.0.5");
		await page.getByLabel("DSCP").fill("28");
		await page.getByText("28 (TOS 0x70)").waitFor();
		await page.getByLabel("Protocol").selectOption("udp");
		await page.getByLabel("Port").fill("53");
		await page.getByRole("button", { name: "Trace" }).click();
		await page.locator(".outcome").waitFor();
		assert.deepEqual(Object.fromEntries(new URLSearchParams(agent.traced)), {
			from: "203.0.113.9",
			to: "10.0.0.5",
			dscp: "28",
			protocol: "udp",
			port: "53",
		});
		const answer = await page.locator(".answer").textContent();
		assert.match(answer ?? "", /No rule matches/);
		assert.match(answer ?? "", /nearly.*--dscp 0x07.*the packet has DSCP 28.*TOS byte of DSCP 7/s);
		const rows = await page.locator(".header-fields tbody tr").count();
		assert.equal(rows, trace().header.length);
	});

	test("shows the agent's error for an impossible packet", async () => {
		await using visit = await browser.visit(realServer(), { hash: "#trace?from=203.0.113.9&to=nowhere" });
		await visit.page.getByText('to: "nowhere" is not an address (an IPv4 or IPv6 address)').waitFor();
	});
});

test("a name is shown as text, and never becomes part of the page", async () => {
	const status = realServer();
	const [web, ...others] = status.services;
	assert.ok(web !== undefined);
	const evil = '<img src=x onerror="document.title=1"><script>document.title=1</script>';
	await using visit = await browser.visit({ ...status, services: [{ ...web, name: evil }, ...others] });
	assert.ok((await visit.texts(".rows .name")).includes(evil));
	assert.equal(await visit.page.locator("#page img, #page script").count(), 0);
	assert.equal(await visit.page.title(), "real1.example.net");
	assert.deepEqual(visit.complaints, []);
});

test("axe finds no fault that keeps screen readers from a place of the page", async () => {
	const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
	for (const [status, colorScheme, places] of [
		[shopServer(), "dark", ["#services", "#findings", "#events", "#trace"]],
		[shopDirector(), "light", ["#pools"]],
	] as const) {
		await using visit = await browser.visit(status, {
			context: { colorScheme },
			prepare: (agent) => {
				agent.findings = findings().findings;
				agent.events = [...events().events];
			},
		});
		await visit.page.evaluate(axe);
		for (const hash of places) {
			await showPlace(visit.page, hash);
			const faults = await visit.page.evaluate("axe.run(document, { resultTypes: ['violations'] })");
			const { violations, passes } = faults as { violations: unknown[]; passes: unknown[] }; // of axe-core
			assert.deepEqual(violations, [], hash);
			assert.ok(passes.length > 10, `${passes.length} rules of axe apply to ${hash}`);
		}
	}
});

test("every control has a name for screen readers", async () => {
	for (const status of [shopServer(), shopDirector()]) {
		await using visit = await browser.visit(status, { prepare: (agent) => (agent.trace = trace()) });
		for (const hash of PLACES) {
			await showPlace(visit.page, hash);
			const nameless = await visit.page.evaluate(() => {
				const named = (element: Element): boolean =>
					(element.textContent ?? "").trim() !== "" ||
					element.getAttribute("aria-label") !== null ||
					(element instanceof HTMLInputElement && (element.labels?.length ?? 0) > 0);
				return [...document.querySelectorAll("a, button, input, select, summary, [role=img], [tabindex='0']")]
					.filter((element) => !named(element))
					.map((element) => element.outerHTML);
			});
			assert.deepEqual(nameless, [], hash);
		}
	}
});

test("the page loads in less than 100 kB, compressed", () => {
	const total = [...browser.sizes.values()].reduce((sum, size) => sum + size, 0);
	assert.ok(total < 100_000, `${total} bytes: ${JSON.stringify([...browser.sizes])}`);
	assert.equal(browser.sizes.size, 4);
});

test("the pictures of README and docs can be taken", async () => {
	const taken: string[] = [];
	await takePictures(browser, ({ name, width, height }, png) => {
		const view = new DataView(png.buffer, png.byteOffset);
		assert.deepEqual([view.getUint32(16), view.getUint32(20)], [width, height], name);
		assert.ok(png.length > 20_000, `${name} shows something`);
		taken.push(name);
	});
	assert.deepEqual(
		taken,
		PICTURES.map(({ name }) => name),
	);
});

/** Chromium's entry, which TypeScript's DOM types lack. */
interface LayoutShift extends PerformanceEntry {
	readonly sources: readonly { readonly node: Node | null }[];
}

function plus({ time }: StatusRecord, seconds: number): string {
	return new Date(Date.parse(time) + seconds * 1000).toISOString();
}
