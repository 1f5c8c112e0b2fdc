/** Checks for VIPs on the director itself. */
import type { CheckFinding } from "../../host/checks/check.ts";
import type { DirectorCheck, DirectorCheckInput } from "./input.ts";

/** A socket that connects to one of the host's own addresses never sends a packet out. */
export const checkVipsHere: DirectorCheck = (input) => {
	const { fleet, served } = input;
	return fleet.vips.flatMap((vip) =>
		vip.addresses.flatMap(({ text }): CheckFinding[] => {
			const on = holderOf(text, input);
			if (on === undefined) return [];
			const checked = vip.services.some(
				({ pool: name }) => fleet.pools.find((pool) => pool.name === name)?.check !== undefined,
			);
			const own = served.some((one) => one.text === text);
			if (!checked && own) return [];
			const why = checked
				? "health checks through the VIP would end on this host itself"
				: "packets that the program passes to the kernel end here, and programs on this host reach themselves at the VIP";
			return [
				{
					check: "vip-here",
					severity: checked ? "error" : "warning",
					message: `VIP ${text} (${vip.name}) is an address of this director, on ${on}: ${why}`,
					remedy: own
						? "use other hosts as real servers of this pool than its directors"
						: `ip address del ${text} dev ${on}; a director does not need the VIP's address`,
				},
			];
		}),
	);
};

function holderOf(text: string, { facts }: DirectorCheckInput): string | undefined {
	return facts.interfaces.find(({ addresses }) => addresses.some(({ address }) => address.text === text))
		?.name;
}

export const checkEcho: DirectorCheck = (input) => {
	const { fleet, settings } = input;
	return fleet.vips.flatMap(({ name, echo, addresses }): CheckFinding[] => {
		if (echo === "reply" && settings.hook === "tc") {
			return [
				{
					check: "echo",
					severity: "warning",
					message: `pings of VIP ${name} are not answered: echo: reply needs XDP, but this director runs at tc`,
					remedy: "hook: xdp or xdp-generic; or echo: server",
				},
			];
		}
		const silent = addresses.filter(({ text }) => holderOf(text, input) === undefined);
		if (echo !== "kernel" || silent.length === 0) return [];
		return [
			{
				check: "echo",
				severity: "note",
				message: `nobody answers a ping of ${silent.map(({ text }) => text).join(", ")} (${name}): the kernel does not have the address`,
				remedy:
					"echo: reply (the program answers) or echo: server (a real server does), if the VIP should answer",
			},
		];
	});
};
