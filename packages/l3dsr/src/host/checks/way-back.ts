/** Answers go directly to the client: without a route there, the client gets none. */
import { type Check, clientsText, listed } from "./check.ts";

export const checkWayBack: Check = ({ facts }) =>
	(["ipv4", "ipv6"] as const).flatMap((family) => {
		const paths = facts.routes.paths.filter(({ client }) => client.address.family === family);
		const lost = paths.filter(({ wayBack }) => wayBack.length === 0);
		// A host without a network is still being set up.
		if (lost.length === 0 || !facts.interfaces.some(({ name, up }) => name !== "lo" && up)) return [];
		const reached = paths.filter(({ wayBack }) => wayBack.length > 0);
		const vips = [...new Set(lost.flatMap((path) => path.vips.map(({ text }) => text)))];
		const others = reached.length === 0 ? "" : `; routes lead to ${clientsText(reached)}`;
		return [
			{
				check: "way-back",
				severity: "warning" as const,
				message: `no route leads from ${listed(vips)} to ${clientsText(lost)}: those clients get no answer${others}`,
				remedy: `ip ${family === "ipv6" ? "-6 " : ""}route add default via ROUTER${reached.length === 0 ? "" : ", unless all clients are there"}`,
			},
		];
	});
