#!/bin/sh
# Makes a minimal Debian in build/roots/SUITE, unless it is there: debian-root.sh SUITE
# Prints where it is. `make clean` takes it away.
set -eu
suite=$1
# What the tests look with, and what the lab asks with. bookworm has systemd, to be booted; trixie has none.
packages=iproute2,nftables,iputils-ping,curl
[ "$suite" != bookworm ] || packages=$packages,systemd-sysv,dbus
mkdir -p "$(dirname "$0")/../../build/roots"
cd "$(dirname "$0")/../../build/roots"
exec 9>".$suite.lock"
flock 9
if [ ! -e "$suite" ]; then
	rm -rf "$suite.new"
	debootstrap --variant=minbase --include="$packages" "$suite" "$suite.new" >"$suite.log" 2>&1 ||
		{ tail -5 "$suite.log" >&2; exit 1; }
	rm -rf "$suite.new"/var/cache/apt/archives/*.deb
	mv "$suite.new" "$suite"
fi
echo "$PWD/$suite"
