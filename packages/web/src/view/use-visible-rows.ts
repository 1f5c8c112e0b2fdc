/**
 * The visible rows of a long list. The list is as high as all rows together, but only the visible ones are in
 * the document. The page scrolls, not the list.
 */
import type { RefObject } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

/** Rows beyond the visible part that are drawn too, so that scrolling shows no gap. */
const MARGIN = 6;

export interface VisibleRows<T extends HTMLElement> {
	/** The element that contains the rows. */
	readonly ref: RefObject<T | null>;
	/** In pixels: `--row` of the style sheet. */
	readonly rowHeight: number;
	/** From `first` up to, but without, `end`. */
	readonly first: number;
	readonly end: number;
}

export function useVisibleRows<T extends HTMLElement>(count: number): VisibleRows<T> {
	const ref = useRef<T>(null);
	const [window_, setWindow] = useState({ rowHeight: 40, first: 0, end: 40 });
	useLayoutEffect(() => {
		const look = (): void => {
			const element = ref.current;
			if (element === null) return;
			const rowHeight = rowHeightOf(element);
			const { top } = element.getBoundingClientRect();
			const first = Math.max(0, Math.floor(-top / rowHeight) - MARGIN);
			const end = Math.ceil((innerHeight - top) / rowHeight) + MARGIN;
			setWindow((old) =>
				old.rowHeight === rowHeight && old.first === first && old.end === end
					? old
					: { rowHeight, first, end },
			);
		};
		look();
		addEventListener("scroll", look, { passive: true });
		addEventListener("resize", look);
		const observer = new ResizeObserver(look);
		observer.observe(document.body);
		return () => {
			removeEventListener("scroll", look);
			removeEventListener("resize", look);
			observer.disconnect();
		};
	}, []);
	const first = Math.min(window_.first, Math.max(0, count - 1));
	return { ref, rowHeight: window_.rowHeight, first, end: Math.max(first, Math.min(count, window_.end)) };
}

function rowHeightOf(element: HTMLElement): number {
	const style = getComputedStyle(element);
	const height = Number.parseFloat(style.getPropertyValue("--row"));
	return height * Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
}
