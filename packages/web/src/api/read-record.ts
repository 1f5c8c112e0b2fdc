/** Marks that change the direction of text: with one in a foreign name, a sentence reads as another one. */
const DIRECTION = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** A record of the API, with marks of text direction in its texts as `\u202e`, as `l3dsr` prints them for people. */
export function readRecord(json: string): unknown {
	return JSON.parse(
		json.replace(DIRECTION, (mark) => `\\\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`),
	);
}
