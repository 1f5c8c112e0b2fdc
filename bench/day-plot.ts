/** Plots an agent's day: memory above, descriptors below, for both of its processes. Pure. */
import { type Day, failedIn, growthOf, type Sample } from "./agent-day.ts";

const WIDTH = 760;
const PANEL = { left: 56, right: 740, height: 150 };
const TOPS = { memory: 64, descriptors: 262 };
const HEIGHT = 510;
const SUMMARY_TOP = 456;

interface Line {
	readonly name: string;
	readonly style: "agent" | "http";
	readonly valueIn: (sample: Sample) => number;
}

const MEMORY: readonly Line[] = [
	{ name: "agent", style: "agent", valueIn: ({ agentMb }) => agentMb },
	{ name: "HTTP process", style: "http", valueIn: ({ httpMb }) => httpMb },
];
const DESCRIPTORS: readonly Line[] = [
	{ name: "agent", style: "agent", valueIn: ({ agentDescriptors }) => agentDescriptors },
	{ name: "HTTP process", style: "http", valueIn: ({ httpDescriptors }) => httpDescriptors },
];

const STYLE = `
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px }
.small { fill: #57606a; font-size: 12px }
.grid { stroke: #d0d7de; stroke-width: 1 }
.agent { stroke: #0969da } .http { stroke: #bc4c00 }
text.agent { fill: #0969da; stroke: none } text.http { fill: #bc4c00; stroke: none }
path { fill: none; stroke-width: 1.6 }
rect { fill: #ffffff }
@media (prefers-color-scheme: dark) {
	text { fill: #e6edf3 } .small { fill: #8d96a0 } .grid { stroke: #30363d } rect { fill: #0d1117 }
	.agent { stroke: #4493f8 } .http { stroke: #db6d28 }
	text.agent { fill: #4493f8 } text.http { fill: #db6d28 }
}`;

/** An SVG document. */
export function plotOf(day: Day): string {
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="title desc">
<title id="title">The agent's memory and descriptors over ${24 * day.share} hours in fast motion</title>
<desc id="desc">${summaryOf(day).join(". ")}.</desc>
<style>${STYLE}
</style>
<rect width="${WIDTH}" height="${HEIGHT}"/>
<text class="title" x="16" y="26">${24 * day.share} hours of l3dsr agent in fast motion</text>
${panel("Resident memory, MB", TOPS.memory, MEMORY, day)}
${panel("Open descriptors", TOPS.descriptors, DESCRIPTORS, day)}
${summaryOf(day)
	.map((text, index) => `<text class="small" x="16" y="${SUMMARY_TOP + index * 17}">${text}</text>`)
	.join("\n")}
</svg>
`;
}

/** The contents of the picture as sentences without their full stops. */
export function summaryOf(day: Day): string[] {
	const { events, faults, scrapes, scrapeFailures, reconfigurations, repairs, tookMs, samples } = day;
	const growth = growthOf(day);
	const last = samples.at(-1);
	const signed = (value: number, digits: number) => `${value < 0 ? "" : "+"}${value.toFixed(digits)}`;
	const grown = (name: string, mb: number, descriptors: number, endMb = Number.NaN) =>
		`From the second quarter to the last, ${name}: ${signed(mb, 1)} MB and ${signed(descriptors, 0)} descriptors; ${endMb.toFixed(0)} MB at the end`;
	const minutes = (tookMs / 60_000).toFixed(1);
	return [
		`${count(events)} events, ${count(faults)} faults (${count(repairs)} repairs), ${count(scrapes)} scrapes (${count(failedIn(scrapeFailures))} failed) and ${count(reconfigurations)} reconfigurations in ${minutes} minutes`,
		grown("agent", growth.agentMb, growth.agentDescriptors, last?.agentMb),
		grown("HTTP process", growth.httpMb, growth.httpDescriptors, last?.httpMb),
	];
}

function count(value: number): string {
	return value.toLocaleString("en");
}

function panel(title: string, top: number, lines: readonly Line[], { samples, share }: Day): string {
	const hours = 24 * share;
	const { left, right, height } = PANEL;
	const most = Math.max(...lines.flatMap(({ valueIn }) => samples.map(valueIn)));
	const step = niceStep(most / 4);
	const upper = Math.ceil((most * 1.05) / step) * step;
	const yOf = (value: number) => (top + height * (1 - value / upper)).toFixed(1);
	const marks = Array.from({ length: Math.round(upper / step) + 1 }, (_, index) => index * step);
	return [
		`<text x="${left}" y="${top - 10}">${title}</text>`,
		...marks.map(
			(value) =>
				`<line class="grid" x1="${left}" x2="${right}" y1="${yOf(value)}" y2="${yOf(value)}"/>` +
				`<text class="small" text-anchor="end" x="${left - 8}" y="${Number(yOf(value)) + 4}">${value}</text>`,
		),
		...lines.map(({ style, valueIn }) => {
			const points = samples.map((sample) => {
				const x = (left + (right - left) * sample.share).toFixed(1);
				return `${x} ${yOf(valueIn(sample))}`;
			});
			return `<path class="${style}" d="M${points.join("L")}"/>`;
		}),
		...lines.map(
			({ name, style }, index) =>
				`<text class="${style}" text-anchor="end" x="${right - index * 110}" y="${top - 10}">${name}</text>`,
		),
		...[0, 1, 2, 3, 4].map(
			(index) =>
				`<text class="small" text-anchor="middle" x="${left + ((right - left) * index) / 4}" y="${top + height + 17}">${hours * (index / 4)} h</text>`,
		),
	].join("\n");
}

/** 1, 2 or 5 times a power of ten. */
function niceStep(about: number): number {
	const power = 10 ** Math.floor(Math.log10(about));
	return ([1, 2, 5].find((one) => one * power >= about) ?? 10) * power;
}
