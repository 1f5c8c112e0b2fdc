/** Warnings about the whole page: the agent is silent, fails, is on hold, or uses an older file. */
import type { StatusRecord } from "@l3dsr/records";
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { clock, duration } from "../state/format.ts";
import type { Tone } from "../state/services.ts";
import type { Snapshot } from "../state/session.ts";

interface NoticesProps {
	readonly snapshot: Snapshot;
	readonly nowMs: number;
	readonly useToken: (token: string) => void;
}

export function Notices({ snapshot, nowMs, useToken }: NoticesProps): JSX.Element {
	const { connection, status, heardMs } = snapshot;
	return (
		<div class="notices">
			{connection.state === "token wanted" ? (
				<TokenForm refused={connection.refused} useToken={useToken} />
			) : null}
			{connection.state !== "lost" ? null : (
				<Notice
					tone="bad"
					title={heardMs === undefined ? "The agent does not answer" : lostTitle(heardMs, nowMs)}
				>
					{connection.why}.{" "}
					{status === undefined ? "" : `What you see is from ${clock(Date.parse(status.time), nowMs)}. `}
					Packets go on, they do not depend on the agent. On the host:{" "}
					<code>systemctl status l3dsr-agent</code>
				</Notice>
			)}
			{status === undefined ? null : <AgentNotices status={status} nowMs={nowMs} />}
		</div>
	);
}

function lostTitle(heardMs: number, nowMs: number): string {
	return `The agent has not answered for ${duration(nowMs - heardMs)}`;
}

function AgentNotices({ status, nowMs }: { status: StatusRecord; nowMs: number }): JSX.Element {
	const { agent, refused } = status;
	const refusedFile = agent?.configuration.refused ?? [];
	const [failure] = agent?.failure ?? [];
	return (
		<>
			{refusedFile.length === 0 || agent === undefined ? null : (
				<Notice tone="bad" title={`${agent.configuration.source} is invalid and changes nothing`}>
					What was read at {clock(Date.parse(agent.configuration.readAt), nowMs)} stays in force.
					{refusedFile.map(({ message, position, hint }) => (
						<span class="line" key={message}>
							{position === undefined ? "" : `line ${position.line}: `}
							{message}
							{hint === undefined ? "" : ` (${hint})`}
						</span>
					))}
				</Notice>
			)}
			{agent?.condition === "failing" ? (
				<Notice tone="bad" title="The agent cannot apply the configuration to this host">
					{failure?.message} {failure?.hint === undefined ? "" : `(${failure.hint})`}
				</Notice>
			) : null}
			{agent?.condition === "contended" ? (
				<Notice tone="warn" title="Something else repeatedly changes this host back">
					Repairs are made less often. The events below name what is changed and who may do it.
				</Notice>
			) : null}
			{agent?.condition === "held" ? (
				<Notice tone="idle" title="The agent leaves this host alone after l3dsr down">
					<code>l3dsr up</code> puts the services back under its care.
				</Notice>
			) : null}
			{refused === undefined ? null : (
				<Notice tone="bad" title="l3dsr up cannot apply the configuration to this host">
					It will refuse to {refused}.
				</Notice>
			)}
		</>
	);
}

function Notice({
	tone,
	title,
	children,
}: {
	tone: Tone;
	title: string;
	children: ComponentChildren;
}): JSX.Element {
	return (
		<section class={`notice ${tone}`} aria-label={title}>
			<p class="title">{title}</p>
			<p>{children}</p>
		</section>
	);
}

function TokenForm({
	refused,
	useToken,
}: {
	refused: boolean;
	useToken: (token: string) => void;
}): JSX.Element {
	const [token, setToken] = useState("");
	return (
		<form
			class="notice idle token"
			onSubmit={(event) => {
				event.preventDefault();
				if (token.trim() !== "") useToken(token.trim());
			}}
		>
			<p class="title">{refused ? "The agent rejects this token" : "The agent requires its token"}</p>
			<label>
				Token{" "}
				<input
					type="password"
					autocomplete="off"
					value={token}
					onInput={(event) => setToken(event.currentTarget.value)}
				/>
			</label>
			<button type="submit">Show the host</button>
			<p class="aside">
				It is in the file that <code>agent: token-file</code> of the configuration names. This page keeps it
				until you close it.
			</p>
		</form>
	);
}
