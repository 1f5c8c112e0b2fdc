import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { runs } from "../../../../../test/support/property-runs.ts";
import { DEFAULT_CONFIGURATION } from "../../../src/model/configuration.ts";
import { lowerService } from "../../../src/model/lower-service.ts";
import { findConflicts } from "../../../src/model/selection.ts";
import type { Service } from "../../../src/model/service.ts";
import { parseConfig } from "../../../src/syntax/config/parse-config.ts";
import { raiseRules } from "../../../src/syntax/config/raise-rules.ts";
import { collectServices, parseDsrConf } from "../../../src/syntax/dsr-conf.ts";
import { printJson, printYaml } from "../../../src/syntax/export/configuration.ts";
import { printDsrConf } from "../../../src/syntax/export/dsr-conf.ts";
import { printIptablesSave } from "../../../src/syntax/export/iptables-save.ts";
import type { VipTable } from "../../../src/syntax/export/vip-table.ts";
import { NO_SERVICES } from "../../../src/syntax/iptables/names.ts";
import { readSavedRules } from "../../../src/syntax/iptables/saved-rules.ts";
import { arbitraryService } from "../../arbitrary/service.ts";

/** Each VIP occurs once, so that no two services are equal in another form. */
const arbitraryServices = fc.uniqueArray(
	fc
		.tuple(arbitraryService, fc.option(fc.constantFrom("web", "dns-2", "a.b:c"), { nil: undefined }))
		.map(([service, name]): Service => (name === undefined ? service : { ...service, name })),
	{ maxLength: 6, selector: ({ vip }) => vip.text },
);

function tableFor(services: readonly Service[]): VipTable {
	const rules = services.flatMap((service) =>
		lowerService(service, { table: "raw", localOnly: true, signed: service.name !== service.vip.text }),
	);
	return { configuration: { ...DEFAULT_CONFIGURATION, services }, rules, reals: [] };
}

for (const [name, print] of [
	["YAML", printYaml],
	["JSON", printJson],
] as const) {
	test(`a configuration printed as ${name} is read as the same configuration`, () => {
		fc.assert(
			fc.property(arbitraryServices, (services) => {
				const table = tableFor(services);
				const { configuration } = parseConfig(print(table).text, "printed");
				assert.deepEqual(configuration, table.configuration);
			}),
			{ numRuns: runs(40), endOnFailure: true },
		);
	});
}

test("services exported as iptables-save and imported again are the same services", () => {
	fc.assert(
		fc.property(arbitraryServices, (services) => {
			const table = tableFor(services);
			const found = (["ipv4", "ipv6"] as const).flatMap((family) => {
				const { rules, left, mended } = readSavedRules(
					printIptablesSave(family)(table).text,
					"x",
					NO_SERVICES,
				);
				assert.deepEqual([left, mended], [[], 0]);
				const raised = raiseRules(rules.map(({ rule }) => rule));
				assert.deepEqual([raised.left, raised.narrowed], [[], []]);
				return raised.services.map(({ service }) => service);
			});
			const inOrder = (all: readonly Service[]) =>
				[...all].sort((a, b) => (a.vip.text < b.vip.text ? -1 : 1));
			assert.deepEqual(inOrder(found), inOrder(services));
		}),
		{ numRuns: runs(60), endOnFailure: true },
	);
});

test("dsr.conf restores the services that it can hold, and the export names the others", () => {
	fc.assert(
		fc.property(arbitraryServices, fc.nat(), (all, seed) => {
			const bare = all.map((service, index): Service => {
				if ((seed >> index) % 3 === 0) return service;
				const { vip, selection } = service;
				const code = selection?.dscp;
				return {
					name: vip.text,
					vip,
					clearDscp: false,
					...(code === undefined ? {} : { selection: { dscp: code } }),
				};
			});
			fc.pre(findConflicts(bare).length === 0);
			const { text, left } = printDsrConf(tableFor(bare));
			const { services, findings } = collectServices(parseDsrConf("x", text), () => undefined);
			assert.deepEqual(findings, []);
			assert.equal(services.length + left.length, bare.length);
			const plain = ({ vip, selection }: Service) => `${vip.text} ${selection?.dscp}`;
			const onlyCode = ({ selection = {}, setPort, clearDscp }: Service) =>
				setPort === undefined && !clearDscp && Object.keys(selection).every((key) => key === "dscp");
			assert.deepEqual(
				services.map(({ service }) => plain(service)),
				bare.filter(onlyCode).map(plain),
			);
		}),
		{ numRuns: runs(60), endOnFailure: true },
	);
});
