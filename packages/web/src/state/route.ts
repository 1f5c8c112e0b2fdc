/** Where the reader is: the part of the address behind #, so that every place can be linked to and gone back to. Pure. */

export const PLACES = ["services", "pools", "findings", "events", "trace"] as const;
export type Place = (typeof PLACES)[number];

export interface Route {
	readonly place: Place;
	/** What is open there: the key of a service, the name of a pool. */
	readonly open?: string;
	/** Of the trace form: its fields. */
	readonly fields: Readonly<Record<string, string>>;
}

/** `#services/KEY`, `#trace?to=10.0.0.5&dscp=7`. What is not a place is the first one. */
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

/** Of a link that somebody cut short, as it stands. */
function decoded(text: string): string {
	try {
		return decodeURIComponent(text);
	} catch {
		return text;
	}
}
