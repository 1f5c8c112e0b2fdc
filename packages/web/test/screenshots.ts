/**
 * The pictures of the page in the README and in docs/guide/page.md. `make screenshots` writes them; the
 * page's test takes them too, so they cannot show a page that no longer exists.
 *
 *     screenshots.ts FOLDER
 */
import type { Page } from "playwright-core";
import type { TestBrowser, Visit } from "./browser.ts";
import { events, findings, later, shopDirector, shopServer } from "./hosts.ts";
import { showPlace } from "./places.ts";

interface Picture {
	readonly name: string;
	readonly hash: string;
	readonly width: number;
	readonly height: number;
	readonly dark: boolean;
}

const SHOP = encodeURIComponent("shop 192.0.2.10 DSCP 7, tcp 80,443");

const OF_REAL_SERVER: readonly Picture[] = [
	{ name: "page-real-server", hash: "#services", width: 1280, height: 800, dark: false },
	{ name: "page-service", hash: `#services/${SHOP}`, width: 1280, height: 860, dark: true },
	{ name: "page-phone", hash: "#services", width: 360, height: 740, dark: false },
];

const OF_DIRECTOR: readonly Picture[] = [
	{ name: "page-director", hash: "#pools/front", width: 1280, height: 860, dark: false },
];

export const PICTURES: readonly Picture[] = [...OF_REAL_SERVER, ...OF_DIRECTOR];

/** The number of moments in the curves. */
const MOMENTS = 60;

/** Calls `taken` with each picture as a PNG. */
export async function takePictures(
	browser: TestBrowser,
	taken: (picture: Picture, png: Uint8Array) => void,
): Promise<void> {
	const take = async (page: Page, pictures: readonly Picture[]): Promise<void> => {
		for (const picture of pictures) {
			await page.emulateMedia({ colorScheme: picture.dark ? "dark" : "light" });
			await page.setViewportSize({ width: picture.width, height: picture.height });
			await showPlace(page, picture.hash);
			taken(picture, await page.screenshot({ animations: "disabled" }));
		}
	};
	const prepare = ({ agent }: Visit): void => {
		agent.beforeStatus = () => {
			agent.status = later(agent.status, 1);
		};
	};
	{
		await using visit = await browser.visit(shopServer(), {
			prepare: (agent) => {
				agent.findings = findings().findings;
				agent.events = [...events().events];
			},
		});
		prepare(visit);
		await visit.looks(MOMENTS);
		await take(visit.page, OF_REAL_SERVER);
	}
	{
		await using visit = await browser.visit(shopDirector());
		prepare(visit);
		await visit.looks(MOMENTS / 3);
		await take(visit.page, OF_DIRECTOR);
	}
}
