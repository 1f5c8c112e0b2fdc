/** Formats numbers, times and codes for the page. Pure. */

/** Stands for a missing value. */
export const NOTHING = "–";

const UNITS = ["", "k", "M", "G", "T", "P"];

/** Three significant digits and a unit: `12.3k`, as in `l3dsr top`. */
export function scaled(value: number | null | undefined): string {
	if (value === null || value === undefined || !Number.isFinite(value)) return NOTHING;
	let scale = 0;
	let number = value;
	while (number >= 999.5 && scale < UNITS.length - 1) {
		number /= 1000;
		scale++;
	}
	const digits = scale === 0 || number >= 100 ? 0 : number >= 10 ? 1 : 2;
	return `${number.toFixed(digits)}${UNITS[scale]}`;
}

/** Every digit: `1,234,567`. */
export function exact(value: number | null): string {
	return value === null ? NOTHING : value.toLocaleString("en-US");
}

/** `7 (TOS 0x1c)`. */
export function dscpText(code: number): string {
	return `${code} (TOS 0x${(code << 2).toString(16).padStart(2, "0")})`;
}

/** `25 %`; a share that is not zero is never shown as zero. */
export function percent(share: number): string {
	if (share > 0 && share < 0.001) return "<0.1 %";
	const value = share * 100;
	return `${value >= 10 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} %`;
}

/** An approximate duration: `4 s`, `3 min`, `2 h`, `5 d`. */
export function duration(ms: number): string {
	const seconds = Math.max(0, Math.round(ms / 1000));
	if (seconds < 60) return `${seconds} s`;
	const minutes = Math.floor(seconds / 60);
	if (minutes < 60) return `${minutes} min`;
	const hours = Math.floor(minutes / 60);
	return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
}

/** The duration of an action: `0.8 ms`, `12 ms`, `1.2 s`. */
export function elapsed(ms: number): string {
	if (ms < 10) return `${ms.toFixed(1)} ms`;
	return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** `14:03:27` in the reader's time zone, with the date if it is another day. */
export function clock(timeMs: number, nowMs: number): string {
	const time = new Date(timeMs);
	const two = (value: number): string => String(value).padStart(2, "0");
	const day = (date: Date): string =>
		`${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
	const text = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
	return day(time) === day(new Date(nowMs)) ? text : `${day(time)} ${text}`;
}

/** `1 service`, `12 services`. */
export function counted(number: number, noun: string, plural: string = `${noun}s`): string {
	return `${number} ${number === 1 ? noun : plural}`;
}
