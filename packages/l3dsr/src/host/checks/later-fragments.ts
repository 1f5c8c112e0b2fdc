/** Later fragments carry no port: where a code stands for more than one VIP, nobody can tell whose they are. */
import { PROTOCOL_NUMBER } from "@l3dsr/packet";
import { fragmentsFollow } from "../../model/lower-service.ts";
import { type Check, titleOf } from "./check.ts";

export const checkLaterFragments: Check = ({ configuration: { services } }) =>
	services
		.filter(
			(service) =>
				service.selection?.ports !== undefined &&
				service.selection.protocols?.includes(PROTOCOL_NUMBER.udp) === true &&
				!fragmentsFollow(service, services),
		)
		.map((service) => ({
			check: "fragments",
			severity: "warning" as const,
			message: `large datagrams to ${titleOf(service)} are lost: their later fragments carry no port, and a service of another VIP could be meant`,
			remedy: "give the service a dscp of its own, or keep its datagrams below the path MTU",
		}));
