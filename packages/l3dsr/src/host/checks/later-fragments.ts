/** Later fragments carry no port: if a code stands for more than one VIP, they cannot be assigned. */
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
			message: `large datagrams to ${titleOf(service)} are lost: their later fragments carry no port, and could belong to a service of another VIP`,
			remedy: "give the service its own dscp, or keep its datagrams below the path MTU",
		}));
