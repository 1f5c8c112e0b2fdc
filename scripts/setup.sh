#!/bin/sh
# Installs what this checkout needs and is missing, builds the commands into bin/, and says what it did.
set -eu
cd "$(dirname "$0")/.."

fail() { echo "setup: $1" >&2; exit 1; }

command -v npm >/dev/null || fail "npm is not installed; install it (apt-get install npm, or Node.js from nodejs.org)"

# program, and the Debian package that has it
missing=
while read -r program package; do
	PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || missing="$missing $package"
done <<LIST
nft nftables
ip iproute2
iptables iptables
curl curl
ping iputils-ping
ethtool ethtool
iperf3 iperf3
ifconfig net-tools
tcpdump tcpdump
tshark tshark
strace strace
sysctl procps
systemd-analyze systemd
LIST
if [ -n "$missing" ]; then
	[ "$(id -u)" = 0 ] || fail "these packages are missing:$missing; install them, or run this as root"
	command -v apt-get >/dev/null || fail "these programs' packages are missing:$missing; install them"
	echo "setup: apt-get install$missing"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
	echo "setup: npm ci"
	# npm ci refuses a lock that lacks the packages of other platforms, as one made behind a mirror that has
	# only some of them does; npm install takes from such a lock what it has.
	npm ci --no-audit --no-fund --loglevel=silent || npm install --no-save --no-audit --no-fund --loglevel=error
	touch node_modules/.package-lock.json
fi

[ -x node_modules/.bin/node ] || fail "npm has no Node for this processor ($(uname -m)); x86-64 and arm64 are supported"
sh scripts/build.sh
