/** Starts the page: connects to the agent that served it, and draws every change. */
import { render } from "preact";
import { AgentClient } from "./api/agent-client.ts";
import { parseRoute } from "./state/route.ts";
import { Session } from "./state/session.ts";
import { App } from "./view/app.tsx";
import { applyTheme, theme } from "./view/theme.ts";

/** Ages are shown in seconds. */
const TICK_MS = 1000;

applyTheme(theme());
const root = document.getElementById("page");
if (root === null) throw new Error("the page has no place to draw in");

const session = new Session(Date.now);
const client = new AgentClient({
	base: new URL(".", document.baseURI).href,
	receive: (message) => session.receive(message),
	watched: () => document.visibilityState === "visible",
});

let drawing = false;
/** Draws at most once a frame, however much has changed. */
function draw(): void {
	if (drawing) return;
	drawing = true;
	requestAnimationFrame(() => {
		drawing = false;
		render(
			<App
				snapshot={session.snapshot}
				route={parseRoute(location.hash)}
				nowMs={Date.now()}
				useToken={(token) => client.useToken(token)}
				trace={(fields) => client.trace(fields)}
			/>,
			root as HTMLElement,
		);
		document.title = title();
	});
}

/** The title, which a browser shows in the tab. */
function title(): string {
	const { connection, status } = session.snapshot;
	const host = status?.host.name ?? "l3dsr";
	return connection.state === "lost" ? `no answer: ${host}` : host;
}

session.listen(draw);
addEventListener("hashchange", draw);
document.addEventListener("visibilitychange", () => {
	if (document.visibilityState === "visible") client.look();
});
setInterval(draw, TICK_MS);
draw();
void client.run();
