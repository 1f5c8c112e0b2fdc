/**
 * Colours that everybody can read: WCAG 2.2, 1.4.3 requires a contrast of 4.5 between text and background.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const tokens = readFileSync(new URL("../src/style/tokens.css", import.meta.url), "utf8");

/** The colours of a theme, by name. */
function coloursOf(theme: "light" | "dark"): ReadonlyMap<string, string> {
	const pairs = tokens.matchAll(/(--[\w-]+): light-dark\((#[0-9a-f]{6,8}), (#[0-9a-f]{6,8})\);/g);
	return new Map([...pairs].map(([, name = "", light = "", dark = ""]) => [name, { light, dark }[theme]]));
}

function luminance(colour: string): number {
	const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
		const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
		return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
	});
	return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(a: string, b: string): number {
	const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
	return (light + 0.05) / (dark + 0.05);
}

test("each text has a contrast of 4.5 on each background, light and dark", () => {
	for (const theme of ["light", "dark"] as const) {
		const colours = coloursOf(theme);
		const pairs = [
			...["--text", "--muted", "--accent", "--good", "--warn", "--bad"].flatMap((text) =>
				["--ground", "--surface", "--raised"].map((ground) => [text, ground] as const),
			),
			...["good", "warn", "bad", "idle"].map((tone) => [`--${tone}`, `--${tone}-soft`] as const),
			...["good", "warn", "bad", "idle"].map((tone) => ["--text", `--${tone}-soft`] as const),
			["--surface", "--accent"] as const,
		];
		for (const [text, ground] of pairs) {
			const ratio = contrast(colours.get(text) ?? "", colours.get(ground) ?? "");
			assert.ok(ratio >= 4.5, `${theme}: ${text} on ${ground}: ${ratio.toFixed(2)}`);
		}
	}
});
