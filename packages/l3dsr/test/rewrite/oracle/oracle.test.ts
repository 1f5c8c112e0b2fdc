import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { PacketContext } from "../../../src/rewrite/oracle/oracle.ts";
import { rewriteByRules } from "../../../src/rewrite/oracle/oracle.ts";
import { ADDRESSES, beforeAndAfter, CATALOGUE } from "../../packets/catalogue.ts";
import { assertSamePacket } from "../../packets/diff.ts";
import { daddrRule } from "../../packets/rules.ts";

const context: PacketContext = { inInterface: "eth0", outInterface: "", mark: 0, local: [] };

const VARIANTS = [
	{ title: "address", target: {} },
	{ title: "address and port", target: { dport: 8443 }, setPort: 8443 },
	{ title: "address, DSCP cleared", target: { clearDscp: true }, clearDscp: true },
	{
		title: "address and port, DSCP cleared",
		target: { dport: 1, clearDscp: true },
		setPort: 1,
		clearDscp: true,
	},
];

for (const { title, target, ...change } of VARIANTS) {
	suite(`rewrites ${title}`, () => {
		for (const packetCase of CATALOGUE) {
			test(packetCase.name, () => {
				const { before, after } = beforeAndAfter(packetCase, { dscp: 46, id: 7, ...change });
				const rule = daddrRule(ADDRESSES[packetCase.family].vip, { dscp: 46, ...target });
				const result = rewriteByRules(before, [rule], context);
				assertSamePacket(result.bytes, after, packetCase.name);
				assert.equal(result.evaluated, !packetCase.untouched);
				if (result.evaluated) {
					assert.deepEqual(result.outcomes, [{ matched: true }]);
					assert.equal(result.length, before.length);
					assert.equal(result.malformed !== undefined, packetCase.malformed ?? false);
				}
			});
		}
	});
}
