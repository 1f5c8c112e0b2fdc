#!/bin/sh
# Creates a minimal Debian in build/roots if it does not exist, and prints its path: debian-root.sh SUITE [kernel]
# With `kernel` it contains the suite's kernel, which test/kernels boots. `make clean` deletes it.
set -eu
suite=$1
name=$suite${2:+-$2}
# The programs that the tests and the lab use. bookworm has systemd, so that it can be booted; trixie does not.
packages=iproute2,nftables,iputils-ping,curl
case $name in
*-kernel) packages=$packages,procps,ethtool,iptables,nginx,linux-image-amd64 ;;
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
