#!/bin/sh
# Installs what building and judging both kinds of package needs, on Debian.
set -eu
missing=
while read -r program package; do
	command -v "$program" >/dev/null || missing="$missing $package"
done <<LIST
rpmbuild rpm
strip binutils
dpkg-shlibdeps dpkg-dev
mandoc mandoc
LIST
[ -n "$missing" ] || exit 0
echo "setup: apt-get install$missing"
apt-get update -qq
# shellcheck disable=SC2086 # several packages
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
