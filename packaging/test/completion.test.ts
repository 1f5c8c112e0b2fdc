/** Completion as the shells of a host with the package use it. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { COMMANDS, DEB, Host } from "./host.ts";

describe("completion", () => {
	let host: Host;
	before(() => {
		host = new Host();
		host.run(`dpkg -i ${host.put(DEB)}`);
		host.run(`mkdir -p /etc/l3dsr && printf '%s\\n' 'fleet: fleet.yaml' 'director: { interfaces: eth0 }' > /etc/l3dsr/l3dsr.yaml
			printf 'vips: []\\npools: { front: { reals: [{ name: a1, addresses: 10.1.0.11 }] } }\\n' > /etc/l3dsr/fleet.yaml`);
	});
	after(() => host[Symbol.dispose]());

	/** Runs a script for a shell on the host. */
	function script(shell: string, text: string): string {
		writeFileSync(join(host.directory, "packages", "script"), text);
		return host.run(`${shell} script`);
	}

	it("is loaded by bash on demand, for every command", () => {
		const output = script(
			"bash --norc",
			`. /usr/share/bash-completion/bash_completion
			for command in ${COMMANDS.join(" ")}; do
				_completion_loader $command
				complete -p $command
			done
			COMP_WORDS=(l3dsr sta) COMP_CWORD=1 COMP_LINE='l3dsr sta' COMP_POINT=9
			$(complete -p l3dsr | sed 's/.*-F \\([^ ]*\\).*/\\1/') l3dsr sta l3dsr
			echo "offered: \${COMPREPLY[*]}"
			COMP_WORDS=(l3dsr drain fr) COMP_CWORD=2 COMP_LINE='l3dsr drain fr' COMP_POINT=14
			$(complete -p l3dsr | sed 's/.*-F \\([^ ]*\\).*/\\1/') l3dsr fr drain
			echo "real servers: \${COMPREPLY[*]}"`,
		);
		for (const command of COMMANDS) assert.match(output, new RegExp(`^complete .* ${command}$`, "m"));
		assert.match(output, /^offered: status$/m);
		assert.match(output, /^real servers: front\/a1$/m);
	});

	it("is used by zsh for every command", () => {
		const output = script(
			"zsh -f",
			`autoload -Uz compinit && compinit -D
			for command in ${COMMANDS.join(" ")}; do
				print -r -- "$command by $_comps[$command]"
				autoload +X -Uz $_comps[$command]
			done`,
		);
		for (const command of COMMANDS) assert.match(output, new RegExp(`^${command} by _${command}$`, "m"));
		// And at a terminal, with the Tab key.
		const typed = script(
			"timeout 20 zsh -f",
			`zmodload zsh/zpty
			zpty shell 'TERM=dumb zsh -f -i'
			zpty -w shell 'PROMPT=go; autoload -Uz compinit; compinit -D; print ready'
			zpty -r shell seen $'*\\nready*go*'
			zpty -w -n shell $'iptables-daddr --set-da\\t'
			zpty -r shell seen '*--set-daddr*' && print completed
			zpty -w -n shell $'\\x15l3dsr drain f\\t'
			zpty -r shell seen '*front/a1*' && print real server`,
		);
		assert.match(typed, /^completed$/m);
		assert.match(typed, /^real server$/m);
	});

	it("is used by fish for every command", () => {
		const offered = (line: string) => script("HOME=/tmp fish", `complete -C "${line}"`);
		for (const command of COMMANDS) assert.match(offered(`${command} -`), /^--?\w/m, command);
		assert.match(offered("l3dsr sta"), /^status\t/m);
		assert.match(offered("dsrctl sto"), /^stop/m);
		assert.equal(offered("l3dsr drain f"), "front/a1\n");
		assert.match(offered("l3dsr lab --hook "), /^clsact\t/);
		assert.equal(offered("l3dsr probe --dscp "), "");
	});
});
