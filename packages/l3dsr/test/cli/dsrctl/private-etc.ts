/** /etc that a test may write to: a copy, seen only by this process and its children. Call it after `enterNetns()`. */
import { run } from "../../../../../test/support/netns.ts";

export function makeEtcPrivate(): void {
	run("sh", "-c", "mount -t tmpfs tmpfs /mnt && cp -a /etc/. /mnt && mount --move /mnt /etc");
}
