#!/bin/sh
# Runs a command in a root of its own: this host's files without any Node, changes kept in DIRECTORY (a tmpfs)
# only, a network namespace's name in $1. private-host.sh NETNS DIRECTORY COMMAND
set -eu
exec ip netns exec "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
	unshare --mount --pid --fork sh -euc '
	root=$1/root
	mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$root"
	mount --rbind /dev "$root/dev"
	mount -t tmpfs tmpfs "$root/run"
	mount -t tmpfs tmpfs "$root/tmp"
	mkdir "$root/tmp/packages"
	mount --bind "$1/packages" "$root/tmp/packages"
	exec chroot "$root" sh -euc "mount -t proc proc /proc; mount -t sysfs sysfs /sys; cd /tmp/packages; $2"
	' sh "$2" "$3"
