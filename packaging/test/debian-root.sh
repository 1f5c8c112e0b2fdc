#!/bin/sh
# Makes a minimal Debian in build/roots, unless it is there, and prints where it is: debian-root.sh SUITE [kernel]
# With `kernel` it has the suite's kernel, to be booted by test/kernels. `make clean` takes it away.
set -eu
suite=$1
name=$suite${2:+-$2}
# What the tests look with, and what the lab asks with. bookworm has systemd, to be booted; trixie has none.
packages=iproute2,nftables,iputils-ping,curl
case $name in
*-kernel) packages=$packages,procps,ethtool,iptables,linux-image-amd64 ;;
bookworm) packages=$packages,systemd-sysv,dbus ;;
esac
mkdir -p "$(dirname "$0")/../../build/roots"
cd "$(dirname "$0")/../../build/roots"
exec 9>".$name.lock"
flock 9
if [ ! -e "$name" ]; then
	rm -rf "$name.new"
	debootstrap --variant=minbase --include="$packages" "$suite" "$name.new" >"$name.log" 2>&1 ||
		{ tail -5 "$name.log" >&2; exit 1; }
	rm -rf "$name.new"/var/cache/apt/archives/*.deb
	mv "$name.new" "$name"
fi
echo "$PWD/$name"
