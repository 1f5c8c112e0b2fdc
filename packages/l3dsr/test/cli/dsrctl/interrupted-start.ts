/** `dsrctl start` that is sent SIGTERM when its addresses are there and its rules are not. */
import { runCommand } from "./transcript.ts";

await runCommand(["dsrctl", "start"], {}, (host) => ({
	async changeLoopback(steps) {
		await host.changeLoopback(steps);
		process.kill(process.pid, "SIGTERM");
	},
}));
