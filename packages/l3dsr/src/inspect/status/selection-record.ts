/** What a service selects, as values for JSON: numbers as numbers, protocols as names. */
import type { SelectionRecord } from "@l3dsr/records";
import type { Selection } from "../../model/service.ts";
import { protocolName } from "../../syntax/iptables/names.ts";
import { interfaceText, shortPrefixText } from "../../syntax/selection-text.ts";

export function selectionRecord(selection: Selection): SelectionRecord {
	const { dscp, mark, interfaces, real, protocols, ports } = selection;
	return {
		...(dscp === undefined ? {} : { dscp }),
		...(mark === undefined ? {} : { mark: { value: mark.value, mask: mark.mask } }),
		...(interfaces === undefined ? {} : { interfaces: interfaces.map(interfaceText) }),
		...(real === undefined ? {} : { real: shortPrefixText(real) }),
		...(protocols === undefined ? {} : { protocols: protocols.map(protocolName) }),
		...(ports === undefined ? {} : { ports: ports.map(({ first, last }) => ({ first, last })) }),
	};
}
