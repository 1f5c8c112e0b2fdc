/**
 * The packages' metadata, from packages/l3dsr/package.json and CHANGELOG.md:
 *   metadata.mjs version | maintainer | homepage
 *   metadata.mjs debian VERSION SUITE | rpm VERSION-RELEASE    the changelog
 *
 * A publisher of packages sets MAINTAINER ("Name <address>") and HOMEPAGE to real contacts.
 * A section `## 1.2.0 (2026-12-01)` is one entry. `## Unreleased (1.2.0)` has the date of SOURCE_DATE_EPOCH.
 */
import { readFileSync } from "node:fs";

const WIDTH = 78;

const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), "utf8");
const { version, author, homepage } = JSON.parse(read("packages/l3dsr/package.json"));
const MAINTAINER = process.env.MAINTAINER || author;
const HOMEPAGE = process.env.HOMEPAGE || homepage;

/** [{ version, date, points }], newest first; a point is one paragraph without markup. */
function releases() {
	const found = [];
	for (const section of read("CHANGELOG.md").split(/^## /m).slice(1)) {
		const [heading = "", ...lines] = section.split("\n");
		const unreleased = /^Unreleased \((\S+)\)$/.exec(heading);
		const released = /^(\S+) \((\d{4}-\d{2}-\d{2})\)$/.exec(heading);
		if (unreleased === null && released === null) throw new Error(`CHANGELOG.md: no version in "${heading}"`);
		const epoch = Number(process.env.SOURCE_DATE_EPOCH);
		found.push({
			version: (released ?? unreleased)[1],
			date: released === null ? new Date(epoch * 1000) : new Date(`${released[2]}T12:00:00Z`),
			points: points(lines),
		});
	}
	if (found[0]?.version !== version) throw new Error(`CHANGELOG.md does not begin with ${version}`);
	return found;
}

/** The list items before the first subheading. */
function points(lines) {
	const found = [];
	for (const line of lines) {
		if (line.startsWith("#")) break;
		if (line.startsWith("- ")) found.push(line.slice(2));
		else if (/^\s+\S/.test(line) && found.length > 0) found[found.length - 1] += ` ${line.trim()}`;
	}
	return found.map((point) => point.replace(/`|\*\*/g, "").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1"));
}

function wrap(text, first, rest) {
	const lines = [first];
	for (const word of text.split(" ")) {
		const last = lines[lines.length - 1];
		if (`${last} ${word}`.length <= WIDTH || last === first)
			lines[lines.length - 1] = last.endsWith(" ") ? last + word : `${last} ${word}`;
		else lines.push(rest + word);
	}
	return lines.join("\n");
}

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (number) => String(number).padStart(2, "0");

function debian(full, suite) {
	return releases()
		.map((release, index) => {
			const day = release.date;
			const date = `${DAYS[day.getUTCDay()]}, ${two(day.getUTCDate())} ${MONTHS[day.getUTCMonth()]} ${day.getUTCFullYear()}`;
			const time = `${two(day.getUTCHours())}:${two(day.getUTCMinutes())}:${two(day.getUTCSeconds())} +0000`;
			const name = index === 0 ? full : `${release.version}-1`;
			const list = release.points.map((point) => wrap(point, "  * ", "    ")).join("\n");
			return `l3dsr (${name}) ${suite}; urgency=medium\n\n${list}\n\n -- ${MAINTAINER}  ${date} ${time}\n`;
		})
		.join("\n");
}

function rpm(full) {
	return releases()
		.map((release, index) => {
			const day = release.date;
			const date = `${DAYS[day.getUTCDay()]} ${MONTHS[day.getUTCMonth()]} ${two(day.getUTCDate())} ${day.getUTCFullYear()}`;
			const list = release.points.map((point) => wrap(point.replaceAll("%", "%%"), "- ", "  ")).join("\n");
			return `* ${date} ${MAINTAINER} - ${index === 0 ? full : `${release.version}-1`}\n${list}\n`;
		})
		.join("\n");
}

const [what, ...rest] = process.argv.slice(2);
const print = {
	version: () => `${version}\n`,
	maintainer: () => `${MAINTAINER}\n`,
	homepage: () => `${HOMEPAGE}\n`,
	debian,
	rpm,
}[what];
if (print === undefined) throw new Error(`metadata.mjs: ${what}?`);
process.stdout.write(print(...rest));
