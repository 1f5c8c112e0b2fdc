/** `dsrctl start` that receives SIGTERM between adding its addresses and its rules. */
import { runCommand } from "./transcript.ts";

await runCommand(["dsrctl", "start"], {}, (host) => ({
	async changeLoopback(steps) {
		await host.changeLoopback(steps);
		process.kill(process.pid, "SIGTERM");
	},
}));
