/**
 * Light, dark, or the system's theme. The choice is stored in this browser and passed to code that draws with
 * colours.
 */

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "l3dsr-theme";
const listeners = new Set<() => void>();

export function theme(): Theme {
	const kept = readKept();
	return THEMES.find((one) => one === kept) ?? "system";
}

export function setTheme(wanted: Theme): void {
	try {
		localStorage.setItem(KEY, wanted);
	} catch {
		// A browser without storage keeps the choice until the page is closed.
	}
	applyTheme(wanted);
	for (const listener of listeners) listener();
}

export function applyTheme(wanted: Theme): void {
	if (wanted === "system") delete document.documentElement.dataset["theme"];
	else document.documentElement.dataset["theme"] = wanted;
}

/** Calls `changed` whenever colours have changed; returns a function that stops this. */
export function onColours(changed: () => void): () => void {
	const system = matchMedia("(prefers-color-scheme: dark)");
	listeners.add(changed);
	system.addEventListener("change", changed);
	return () => {
		listeners.delete(changed);
		system.removeEventListener("change", changed);
	};
}

/** A colour of the style sheet, such as `--accent`, as it is in the current theme. */
export function colour(name: string): string {
	// The property itself holds both colours; only a property that takes a colour resolves them.
	const probe = document.createElement("span");
	probe.style.color = `var(${name})`;
	document.documentElement.append(probe);
	const { color } = getComputedStyle(probe);
	probe.remove();
	return color;
}

/** The font of numbers and text that are drawn: `--sans`. */
export function font(): string {
	return getComputedStyle(document.documentElement).getPropertyValue("--sans").trim();
}

function readKept(): string | null {
	try {
		return localStorage.getItem(KEY);
	} catch {
		return null;
	}
}
