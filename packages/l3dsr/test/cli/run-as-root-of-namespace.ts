/**
 * In `unshare -Urn` or `unshare -n`: adds an interface, then runs each command line of the arguments (words
 * separated by blanks), after `--without-bpf` without access to bpf(2). Prints their outcomes as JSON.
 */
import { forbidBpf } from "../../../../test/support/capabilities.ts";
import { ip } from "../../../../test/support/netns.ts";
import { l3dsr, type Outcome } from "./run-command.ts";

for (const command of [
	"link set lo up",
	"link add eth0 type veth peer name p0",
	"link set eth0 up",
	"link set p0 up",
	"address add 10.0.0.5/24 dev eth0",
]) {
	ip(command);
}
const [first, ...more] = process.argv.slice(2);
const filtered = first === "--without-bpf";
if (filtered) forbidBpf();
const outcomes: Outcome[] = [];
for (const line of filtered ? more : process.argv.slice(2)) outcomes.push(await l3dsr(...line.split(" ")));
process.stdout.write(JSON.stringify(outcomes));
