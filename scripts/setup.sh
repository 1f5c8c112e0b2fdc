#!/bin/sh
# Installs what this checkout lacks, builds the commands into bin/, and reports what it did:
#   setup.sh [dev]   the npm packages (Node is one of them), to work on the code
#   setup.sh demo    the npm packages that a build needs, and the programs that `l3dsr lab` runs
#   setup.sh test    the npm packages, and all programs that tests and benchmarks run
set -eu
cd "$(dirname "$0")/.."

fail() { echo "setup: $1" >&2; exit 1; }

# program, its Debian package, and the unit that the package would enable
programs() {
	[ "$1" != dev ] || return 0
	cat <<LIST
ip iproute2
ping iputils-ping
LIST
	[ "$1" = test ] || return 0
	cat <<LIST
nft nftables
iptables iptables
curl curl
ethtool ethtool
iperf3 iperf3
promtool prometheus prometheus
nginx nginx-light nginx
ifconfig net-tools
tcpdump tcpdump
tshark tshark
chromium chromium
strace strace
sysctl procps
systemd-analyze systemd
dbus-daemon dbus-daemon
firewalld firewalld firewalld
ufw ufw ufw
keepalived keepalived keepalived
NetworkManager network-manager NetworkManager
unbound unbound unbound
LIST
}

purpose=${1:-dev}
case $purpose in
dev | demo | test) ;;
*) echo "usage: scripts/setup.sh [dev | demo | test]" >&2; exit 2 ;;
esac
command -v npm >/dev/null ||
	fail "npm is not installed; install it (apt-get install npm: its version and Node's do not matter), then run this again"

missing= units=
while read -r program package unit; do
	if [ -n "$program" ] && ! PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null; then
		missing="$missing $package"
		units="$units $unit"
	fi
done <<LIST
$(programs "$purpose")
LIST
if [ -n "$missing" ]; then
	[ "$(id -u)" = 0 ] || fail "these packages are missing:$missing; install them, or run this as root"
	command -v apt-get >/dev/null || fail "these Debian packages' programs are missing:$missing; install them"
	echo "setup: apt-get install$missing"
	apt-get update -qq
	# Tests start daemons in their own namespaces. They must not be started or enabled on this machine itself.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap 'rm -f $policy' EXIT
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod +x $policy
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
	for unit in $units; do
		! command -v systemctl >/dev/null || systemctl disable --quiet --no-reload "$unit.service" || true
	done
fi

case $purpose in
demo) omit=--omit=dev probe=node_modules/.bin/esbuild ;;
*) omit= probe=node_modules/.bin/tsc ;;
esac
if [ ! -e "$probe" ] || [ ! -e node_modules/.package-lock.json ] ||
	[ package-lock.json -nt node_modules/.package-lock.json ]; then
	echo "setup: npm ci${omit:+ $omit}"
	# npm ci refuses a lock file without the packages of other platforms, which an incomplete mirror can cause.
	# npm install accepts such a file.
	# shellcheck disable=SC2086 # empty, or one word
	npm ci $omit --no-audit --no-fund --loglevel=silent || npm install $omit --no-save --no-audit --no-fund --loglevel=error
	touch node_modules/.package-lock.json
fi

# npm 9 of Debian 12 links all commands of a package except one with the name node.
if [ ! -x node_modules/.bin/node ]; then
	for package in node_modules/node-linux-*; do
		[ ! -x "$package/bin/node" ] || ln -sf "../$(basename "$package")/bin/node" node_modules/.bin/node
	done
fi
[ -x node_modules/.bin/node ] || fail "npm has no Node for this processor ($(uname -m)); x86-64 and arm64 are supported"
sh scripts/build.sh
