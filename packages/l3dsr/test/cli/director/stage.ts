/**
 * A director's host for tests of commands: an interface with an observable wire, the files, and the commands.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Wire } from "../../balance/wire.ts";
import { l3dsr, type Outcome } from "../run-command.ts";

/** The VIPs are those of ../../balance/wire.ts. */
export const FLEET = `
vips:
  - name: web
    addresses: [192.0.2.10, "2001:db8:a::10"]
    dscp: 7
    services: [{ port: 80, protocol: tcp, pool: front }]
pools:
  front:
    drain: 15m
    reals:
      - { name: a1, addresses: [10.1.0.1, "2001:db8:1::1"] }
      - { name: a2, addresses: [10.1.0.2, "2001:db8:1::2"] }
      - { name: a3, addresses: [10.1.0.3, "2001:db8:1::3"], weight: 2 }
`;

export const CONFIG = `
fleet: fleet.yaml
director:
  interfaces: dir0
  open-checksums: accept
  state: state.json
`;

export class Stage implements Disposable {
	readonly folder = mkdtempSync(join(tmpdir(), "l3dsr-director-"));
	readonly config = join(this.folder, "l3dsr.yaml");
	readonly wire = new Wire(10);

	constructor() {
		this.write("fleet.yaml", FLEET);
		this.write("l3dsr.yaml", CONFIG);
	}

	write(name: string, text: string): void {
		writeFileSync(join(this.folder, name), text);
	}

	/** `l3dsr COMMAND -c CONFIG`. */
	async l3dsr(command: string, ...args: readonly string[]): Promise<Outcome> {
		return await l3dsr(command, "-c", this.config, ...args);
	}

	[Symbol.dispose](): void {
		this.wire[Symbol.dispose]();
		rmSync(this.folder, { recursive: true });
	}
}
