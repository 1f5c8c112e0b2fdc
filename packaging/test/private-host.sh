#!/bin/sh
# Runs a command on a separate host: private-host.sh LOWER NETNS DIRECTORY COMMAND
# The host's files are those below LOWER; its changes go to DIRECTORY (a tmpfs). Its network namespace is NETNS.
set -eu
exec ip netns exec "$2" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 TERM=dumb \
	unshare --mount --pid --fork --kill-child sh -euc '
	root=$2/root
	mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$root"
	mount --rbind /dev "$root/dev"
	mount -t tmpfs tmpfs "$root/run"
	mount -t tmpfs tmpfs "$root/tmp"
	mkdir "$root/tmp/packages"
	mount --bind "$2/packages" "$root/tmp/packages"
	exec chroot "$root" sh -euc "mount -t proc proc /proc; mount -t sysfs sysfs /sys; cd /tmp/packages; $3"
	' sh "$1" "$3" "$4"
