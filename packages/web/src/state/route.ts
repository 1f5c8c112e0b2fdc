/**
 * The reader's place on the page, which is the part of the URL after #, so every place has a link and a
 * history entry. Pure.
 */

export const PLACES = ["services", "pools", "findings", "events", "trace"] as const;
export type Place = (typeof PLACES)[number];

export interface Route {
	readonly place: Place;
	/** The open object: the key of a service, the name of a pool. */
	readonly open?: string;
	/** The fields of the trace form. */
	readonly fields: Readonly<Record<string, string>>;
}

/** `#services/KEY`, `#trace?to=10.0.0.5&dscp=7`. An unknown place leads to the first one. */
export function parseRoute(hash: string): Route {
	const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
	const [name = "", ...rest] = path.split("/");
	const place = PLACES.find((one) => one === name) ?? "services";
	const open = decoded(rest.join("/"));
	return {
		place,
		...(open === "" ? {} : { open }),
		fields: Object.fromEntries(new URLSearchParams(query)),
	};
}

export function formatRoute({
	place,
	open,
	fields = {},
}: Partial<Route> & { readonly place: Place }): string {
	const query = new URLSearchParams(fields).toString();
	const opened = open === undefined ? "" : `/${encodeURIComponent(open)}`;
	return `#${place}${opened}${query === "" ? "" : `?${query}`}`;
}

/** Decodes part of a link; a truncated link stays as it is. */
function decoded(text: string): string {
	try {
		return decodeURIComponent(text);
	} catch {
		return text;
	}
}
