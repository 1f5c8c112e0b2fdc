/** The places of the page. */
import type { Page } from "playwright-core";

export const PLACES: readonly string[] = ["#services", "#pools", "#findings", "#events", "#trace"];

/** Goes to a place of the page (`#services`), and waits until it is drawn. */
export async function showPlace(page: Page, hash: string): Promise<void> {
	await page.evaluate(async (wanted) => {
		location.hash = wanted;
		await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
	}, hash);
}
