import { goldenIn } from "../../../test/support/golden.ts";

export const assertGolden: (name: string, actual: string) => void = goldenIn(
	new URL("./golden/", import.meta.url),
);
