/** Values that options accept and refuse, the same in every command. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { addressOption, prefixOption, secondsOf, wholeNumber } from "../../src/cli/option-values.ts";
import { L3dsrError } from "../../src/errors.ts";

const whole = (text: string) => wholeNumber("--count", text, 1, 100);
const seconds = (text: string) => secondsOf("--watch", text, "more than 0");
const prefix = (text: string) => {
	const { address, length } = prefixOption("--local", text);
	return `${address.text}/${length}`;
};

for (const [read, text, value] of [
	[whole, "1", 1],
	[whole, "0x10", 16],
	[whole, "010", 10],
	[seconds, "0.5", 0.5],
	[seconds, "2", 2],
	[seconds, ".5", 0.5],
	[prefix, "10.0.0.1", "10.0.0.1/32"],
	[prefix, "10.0.0.0/8", "10.0.0.0/8"],
	[prefix, "2001:db8::/0", "::/0"],
	[(text: string) => addressOption("--vip", text).text, "2001:DB8::1", "2001:db8::1"],
] as const) {
	test(`${text} is accepted`, () => {
		assert.equal(read(text), value);
	});
}

for (const [read, text] of [
	[whole, "0"],
	[whole, "101"],
	[whole, "1.0"],
	[whole, "1e1"],
	[whole, " 1"],
	[whole, ""],
	[seconds, "0"],
	[seconds, "0.0"],
	[seconds, ""],
	[seconds, "."],
	[seconds, "Infinity"],
	[seconds, "1e9"],
	[seconds, "0x10"],
	[seconds, "-1"],
	[seconds, "99999999"],
	[prefix, "10.0.0.0/"],
	[prefix, "10.0.0.0/1e1"],
	[prefix, "10.0.0.0/0x8"],
	[prefix, "10.0.0.0/33"],
	[prefix, "10.0.0.0/8/8"],
	[prefix, "web"],
	[(text: string) => addressOption("--vip", text), "010.0.0.1"],
] as const) {
	test(`${JSON.stringify(text)} is refused by ${read === whole ? "a count" : read === seconds ? "a time" : "its option"}, which names it`, () => {
		assert.throws(
			() => read(text),
			(error) => error instanceof L3dsrError && error.code === "USAGE" && error.message.includes(`"${text}"`),
		);
	});
}
