/** The name of the host, the connection, and the colour theme. */
import type { StatusRecord } from "@l3dsr/records";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Connection } from "../state/session.ts";
import { setTheme, THEMES, theme } from "./theme.ts";

export function Header({
	connection,
	status,
}: {
	connection: Connection;
	status: StatusRecord | undefined;
}): JSX.Element {
	return (
		<header class="top">
			<svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
				<path d="M5 10h19v8" />
				<path d="M24 22H7" />
				<path d="m11 18-4 4 4 4" />
				<circle cx="5" cy="10" r="2.6" />
			</svg>
			<h1>{status?.host.name ?? "l3dsr"}</h1>
			<p class="about">
				{status === undefined
					? ""
					: `${status.host.roles.join(" and ") || "no configuration"}, l3dsr ${status.host.l3dsr}`}
				<span class="wide">{status === undefined ? "" : `, Linux ${status.host.kernel}`}</span>
			</p>
			<p class={`pulse ${connection.state.replace(" ", "-")}`} data-connection={connection.state}>
				{PULSE[connection.state]}
			</p>
			<ThemeChoice />
		</header>
	);
}

const PULSE: Readonly<Record<Connection["state"], string>> = {
	connecting: "connecting",
	live: "live",
	lost: "no answer",
	"token wanted": "token needed",
};

function ThemeChoice(): JSX.Element {
	const [chosen, choose] = useState(theme);
	return (
		<label class="theme">
			<span class="unseen">Colours</span>
			<select
				value={chosen}
				onChange={(event) => {
					const wanted = THEMES.find((one) => one === event.currentTarget.value) ?? "system";
					setTheme(wanted);
					choose(wanted);
				}}
			>
				{THEMES.map((one) => (
					<option key={one} value={one}>
						{one}
					</option>
				))}
			</select>
		</label>
	);
}
