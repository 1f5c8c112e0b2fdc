/** A writable copy of /etc that only this process and its children see. Call it after `enterNetns()`. */
import { run } from "../../../../../test/support/netns.ts";

export function makeEtcPrivate(): void {
	run("sh", "-c", "mount -t tmpfs tmpfs /mnt && cp -a /etc/. /mnt && mount --move /mnt /etc");
}
