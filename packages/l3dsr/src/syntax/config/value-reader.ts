/** Reads single values of a document, and lists of them, with the functions of read-value.ts; reports faults. */
import { LIMITS } from "../limits.ts";
import type { ConfigDocument } from "./document.ts";
import type { Reading } from "./read-value.ts";

/** Keys and indexes from the document's root. */
export type Path = readonly (string | number)[];

export class ValueReader {
	readonly #document: ConfigDocument;

	constructor(document: ConfigDocument) {
		this.#document = document;
	}

	has(path: Path): boolean {
		return this.#document.scalars(path).length > 0;
	}

	one<T>(path: Path, read: (text: string) => Reading<T>): T | undefined {
		return this.many(path, read)?.[0];
	}

	/** The values of a scalar or list; undefined if there is none, or if one has a fault (which is then reported). */
	many<T>(path: Path, read: (text: string) => Reading<T>): T[] | undefined {
		const scalars = this.#document.scalars(path);
		const values: T[] = [];
		if (scalars.length > LIMITS.listEntries) {
			const message = `${path.at(-1)} has ${scalars.length} entries, the limit is ${LIMITS.listEntries}`;
			const hint = path.at(-1) === "ports" ? { hint: "write ranges, such as 8000-8099" } : {};
			this.#document.report("CONFIG_BAD_VALUE", message, this.#document.place(path), hint);
			return undefined;
		}
		for (const scalar of scalars) {
			const reading = read(scalar.text);
			if (reading.ok) values.push(reading.value);
			else {
				const { code, message, hint } = reading;
				this.#document.report(code, message, scalar.position, hint === undefined ? {} : { hint });
			}
		}
		return values.length > 0 && values.length === scalars.length ? values : undefined;
	}
}
