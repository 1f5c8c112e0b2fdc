/** The size of an element in CSS pixels, kept up to date. */
import type { RefObject } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

export interface Size {
	readonly width: number;
	readonly height: number;
}

export function useSize<T extends HTMLElement>(): readonly [RefObject<T | null>, Size] {
	const ref = useRef<T>(null);
	const [size, setSize] = useState<Size>({ width: 0, height: 0 });
	useLayoutEffect(() => {
		const element = ref.current;
		if (element === null) return undefined;
		const look = (): void => {
			const { clientWidth: width, clientHeight: height } = element;
			setSize((old) => (old.width === width && old.height === height ? old : { width, height }));
		};
		look();
		const observer = new ResizeObserver(look);
		observer.observe(element);
		return () => observer.disconnect();
	}, []);
	return [ref, size];
}
